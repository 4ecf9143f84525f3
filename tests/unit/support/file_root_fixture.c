#include "tests/unit/support/file_root_fixture.h"

#include "runtime/types/type_parse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* -- the tree -------------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
    (void)stat;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void path_in(const struct tree *t, const char *path, char out[8192])
{
    snprintf(out, 8192, "%s/%s", t->root, path);
}

static bool write_at(const char *path, const char *content, size_t len)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    bool ok = fwrite(content, 1, len, file) == len;
    return fclose(file) == 0 && ok;
}

static bool mount_at(struct tree *t, const char *path, const char *type, const char *options)
{
    bool bind = strcmp(type, "bind") == 0;
    if (mount(bind ? options : "none", path, type, bind ? MS_BIND | MS_REC : 0, bind ? NULL : options) != 0) {
        fprintf(stderr, "%s can't be mounted: %s\n", type, strerror(errno));
        return false;
    }
    t->mounts++;
    return true;
}

struct tree *tree_new(const char *type, const char *options)
{
    char secret[128];
    struct tree *t = calloc(1, sizeof *t);
    const char *where = getenv("TMPDIR");
    if (t == NULL)
        return NULL;
    snprintf(t->base, sizeof t->base, "%.40s/gatherd-XXXXXX", where == NULL ? "/tmp" : where);
    if (mkdtemp(t->base) == NULL) {
        fprintf(stderr, "%s: %s\n", t->base, strerror(errno));
        free(t);
        return NULL;
    }
    snprintf(t->root, sizeof t->root, "%s/root", t->base);
    snprintf(t->outside, sizeof t->outside, "%s/outside", t->base);
    snprintf(secret, sizeof secret, "%s/secret", t->outside);
    record_set_defaults(&limits_type, &t->limits);
    if (mkdir(t->root, 0755) == 0 && mkdir(t->outside, 0755) == 0 && chmod(t->base, 0755) == 0 &&
        write_at(secret, SECRET, strlen(SECRET)) && (type == NULL || mount_at(t, t->root, type, options)) &&
        jail_new(t->root, &t->jail, &t->e) == 0)
        return t;
    fprintf(stderr, "no tree in %s: %s\n", t->base, t->e.rc != 0 ? t->e.msg : strerror(errno));
    tree_free(t);
    return NULL;
}

/* The innermost mounts come last in /proc/self/mounts; so it takes a few rounds. Detaching takes what is below along. */
static void unmount_all(struct tree *t)
{
    for (int round = 0; t->mounts > 0 && round < 8; round++) {
        char line[8192], point[4096];
        FILE *mounts = fopen("/proc/self/mounts", "r");
        if (mounts == NULL)
            return;
        while (fgets(line, sizeof line, mounts) != NULL)
            if (sscanf(line, "%*s %4095s", point) == 1 && strncmp(point, t->base, strlen(t->base)) == 0 &&
                umount2(point, MNT_DETACH) == 0)
                t->mounts--;
        fclose(mounts);
    }
}

bool tree_free(struct tree *t)
{
    arena_unref(t->arena);
    jail_free(t->jail);
    unmount_all(t);
    bool clean = t->mounts == 0 && nftw(t->base, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0;
    if (!clean)
        fprintf(stderr, "%s could not be removed: %s\n", t->base, strerror(errno));
    free(t);
    return clean;
}

int tree_setup(void **state)
{
    *state = tree_new(NULL, NULL);
    return *state == NULL ? -1 : 0;
}

int tree_setup_small(void **state)
{
    *state = tree_new("tmpfs", "size=64k");
    return *state == NULL ? -1 : 0;
}

int tree_teardown(void **state)
{
    return tree_free(*state) ? 0 : -1;
}

bool tree_mount(struct tree *t, const char *name, const char *type, const char *options)
{
    char path[8192];
    path_in(t, name, path);
    return mkdir(path, 0755) == 0 && mount_at(t, path, type, options);
}

/* -- mounts ----------------------------------------------------------------------------------------------------------- */

static bool say_to(const char *path, const char *line)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = write(fd, line, strlen(line)) == (ssize_t)strlen(line);
    close(fd);
    return ok;
}

/* Root just does it; anybody else becomes root in a namespace for users first (user_namespaces(7)). */
static bool enter_namespace(void)
{
    char uid[64], gid[64];
    snprintf(uid, sizeof uid, "0 %u 1", (unsigned)geteuid());
    snprintf(gid, sizeof gid, "0 %u 1", (unsigned)getegid());
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) == 0)
        return true;
    return errno == EPERM && unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) == 0 &&
           say_to("/proc/self/setgroups", "deny") && say_to("/proc/self/uid_map", uid) &&
           say_to("/proc/self/gid_map", gid);
}

/* Mounts are not to show in the namespace we come from. In a chroot that can't be had, because / is no mount point there. */
static bool keep_private(void)
{
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

bool tree_may_mount(void)
{
    static enum { UNKNOWN, YES, NO } known;
    if (known == UNKNOWN) {
        known = enter_namespace() ? YES : NO;
        keep_private();
        if (known == NO)
            print_message("no file system may be mounted here, most likely because this is a container\n");
    }
    return known == YES;
}

bool tree_hide(const char *path)
{
    return tree_may_mount() && keep_private() &&
           (mount("/dev/null", path, NULL, MS_BIND, NULL) == 0 || errno == ENOENT);
}

static void without_mounts(void **state)
{
    (void)state;
    skip();
}

struct CMUnitTest tree_mounting(const char *name, CMUnitTestFunction test, CMFixtureFunction setup)
{
    if (tree_may_mount())
        return (struct CMUnitTest){name, test, setup, tree_teardown, NULL};
    return (struct CMUnitTest){name, without_mounts, NULL, NULL, NULL};
}

/* -- what is in it --------------------------------------------------------------------------------------------------- */

bool tree_put(struct tree *t, const char *path, const char *content)
{
    char at[8192];
    path_in(t, path, at);
    return write_at(at, content, strlen(content));
}

bool tree_put_bytes(struct tree *t, const char *path, char byte, size_t count)
{
    char at[8192];
    char *content = malloc(count);
    path_in(t, path, at);
    memset(content, byte, count);
    bool ok = write_at(at, content, count);
    free(content);
    return ok;
}

/* The file's content, to be freed, with a NUL behind it. */
static char *content_of(const char *path, size_t *len)
{
    FILE *file = fopen(path, "r");
    size_t room = 1 << 22;
    char *content = malloc(room);
    if (file == NULL || content == NULL) {
        free(content);
        if (file != NULL)
            fclose(file);
        return NULL;
    }
    *len = fread(content, 1, room - 1, file);
    content[*len] = '\0';
    fclose(file);
    return content;
}

bool tree_holds(struct tree *t, const char *path, const char *content)
{
    char at[8192];
    size_t len = 0;
    path_in(t, path, at);
    char *found = content_of(at, &len);
    bool same = found != NULL && len == strlen(content) && memcmp(found, content, len) == 0;
    free(found);
    return same;
}

bool tree_holds_bytes(struct tree *t, const char *path, char byte, size_t count)
{
    char at[8192];
    size_t len = 0, i = 0;
    path_in(t, path, at);
    char *found = content_of(at, &len);
    while (found != NULL && i < len && found[i] == byte)
        i++;
    bool same = found != NULL && len == count && i == len;
    free(found);
    return same;
}

bool tree_exists(struct tree *t, const char *path)
{
    char at[8192];
    struct stat stat;
    path_in(t, path, at);
    return lstat(at, &stat) == 0;
}

bool tree_link(struct tree *t, const char *target, const char *path)
{
    char at[8192], absolute[256];
    path_in(t, path, at);
    snprintf(absolute, sizeof absolute, "%s%s", target[0] == '@' ? t->base : "", target + (target[0] == '@'));
    return symlink(absolute, at) == 0;
}

bool tree_directory(struct tree *t, const char *path)
{
    char at[8192];
    path_in(t, path, at);
    return mkdir(at, 0755) == 0;
}

static size_t count_in(const char *path)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return SIZE_MAX;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2; /* . and .. */
}

size_t tree_drafts(struct tree *t)
{
    char at[8192];
    path_in(t, DRAFTS_NAME, at);
    return count_in(at);
}

bool tree_outside_untouched(struct tree *t)
{
    return count_in(t->outside) == 1 && tree_holds(t, "../outside/secret", SECRET) && count_in(t->base) == 2;
}

void *swap_until_stopped(void *arg)
{
    struct swapper *s = arg;
    while (!atomic_load(&s->stop))
        renameat2(AT_FDCWD, s->directory, AT_FDCWD, s->link, RENAME_EXCHANGE);
    return NULL;
}

/* -- calls ----------------------------------------------------------------------------------------------------------- */

static const struct field *field_of(const struct type *record, const char *name)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    fprintf(stderr, "%s has no field %s\n", record->name, name);
    abort();
}

static int set(struct tree *t, char *input, const char *name, struct str value)
{
    const struct field *f = field_of(t->function->input, name);
    return type_parse(f->type, value, t->arena, &t->limits, input + f->offset, &t->e);
}

int tree_call_pairs(struct tree *t, const char *function, const char *field, struct str data, const char *const pairs[])
{
    arena_unref(t->arena);
    t->arena = arena_new();
    t->function = function_find(str_from(function)); /* it is there, or the test crashes */
    t->e = (struct err){0};
    if (t->arena == NULL)
        return ERR_OUT_OF_MEMORY;
    char *input = arena_alloc(t->arena, t->function->input->size);
    t->output = arena_alloc(t->arena, t->function->output->size);
    if (input == NULL || t->output == NULL)
        return ERR_OUT_OF_MEMORY;
    int rc = 0;
    for (const struct field *f = t->function->input->fields; rc == 0 && f->name != NULL; f++) {
        if (f->presence == FIELD_DEFAULTED)
            rc = set(t, input, f->name, str_from(f->default_text));
        else if (f->type->kind != TYPE_BOOLEAN && f->type->kind != TYPE_RECORD)
            type_set_absent(f->type, input + f->offset);
    }
    if (rc == 0 && field != NULL)
        rc = set(t, input, field, data);
    for (; rc == 0 && pairs[0] != NULL; pairs += 2)
        rc = set(t, input, pairs[0], str_from(pairs[1]));
    struct check_error check_error;
    if (rc == 0 && t->function->input->check != NULL && !t->function->input->check(input, &check_error))
        rc = err_set(&t->e, ERR_INVALID, "%s %s", check_error.pointer, check_error.detail);
    if (rc != 0)
        return rc;
    atomic_llong read_quota = t->limits.max_read_bytes;
    struct run_context run = {.arena = t->arena,
                              .canceled = &t->canceled,
                              .limits = &t->limits,
                              .read_quota = &read_quota,
                              .jail = t->jail,
                              .e = &t->e};
    return t->function->run(input, t->output, &run);
}

int64_t tree_integer(struct tree *t, const char *field)
{
    const struct field *f = field_of(t->function->output, field);
    const void *value = (const char *)t->output + f->offset;
    if (f->type->kind == TYPE_BOOLEAN)
        return *(const bool *)value;
    return f->type->kind == TYPE_ENUM ? *(const int *)value : *(const int64_t *)value;
}

struct str tree_text(struct tree *t, const char *field)
{
    const struct field *f = field_of(t->function->output, field);
    struct str text;
    memcpy(&text, (const char *)t->output + f->offset, sizeof text);
    return text;
}
