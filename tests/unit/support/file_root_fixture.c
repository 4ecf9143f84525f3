#include "tests/unit/support/file_root_fixture.h"

#include "runtime/files/temp_file.h"
#include "runtime/types/type_parse.h"
#include "runtime/types/type_rules.h"

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

/* -- the tree ------------------------------------------------------------------------------------------------------ */

static int tree_remove_entry(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
    (void)stat;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void tree_path(const struct tree *t, const char *path, char out[8192])
{
    snprintf(out, 8192, "%s/%s", t->root, path);
}

static bool write_content(const char *path, const char *content, size_t len)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    bool ok = fwrite(content, 1, len, file) == len;
    return fclose(file) == 0 && ok;
}

static bool mount_fs(struct tree *t, const char *path, const char *type, const char *options)
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
    const char *tmpdir = getenv("TMPDIR");
    if (t == NULL)
        return NULL;
    snprintf(t->base, sizeof t->base, "%.40s/gatherd-XXXXXX", tmpdir == NULL ? "/tmp" : tmpdir);
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
        write_content(secret, SECRET, strlen(SECRET)) && (type == NULL || mount_fs(t, t->root, type, options)) &&
        file_root_new(t->root, &t->file_root, &t->e) == 0 && builtin_registry(&t->registry, &t->e) == 0)
        return t;
    fprintf(stderr, "cannot create the tree in %s: %s\n", t->base, t->e.rc != 0 ? t->e.msg : strerror(errno));
    tree_free(t);
    return NULL;
}

/* Unmounts everything below BASE. More than one round may be needed, because /proc/self/mounts lists a mount before the
 * mounts inside it. MNT_DETACH unmounts nested mounts too. */
static void unmount_all(struct tree *t)
{
    for (int attempt = 0; t->mounts > 0 && attempt < 8; attempt++) {
        char line[8192], mount_point[4096];
        FILE *mounts = fopen("/proc/self/mounts", "r");
        if (mounts == NULL)
            return;
        while (fgets(line, sizeof line, mounts) != NULL)
            if (sscanf(line, "%*s %4095s", mount_point) == 1 && strncmp(mount_point, t->base, strlen(t->base)) == 0 &&
                umount2(mount_point, MNT_DETACH) == 0)
                t->mounts--;
        fclose(mounts);
    }
}

bool tree_free(struct tree *t)
{
    arena_unref(t->arena);
    file_root_free(t->file_root);
    registry_unref(t->registry);
    unmount_all(t);
    bool clean = t->mounts == 0 && nftw(t->base, tree_remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0;
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

int tree_small_setup(void **state)
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
    tree_path(t, name, path);
    return mkdir(path, 0755) == 0 && mount_fs(t, path, type, options);
}

/* -- mounts -------------------------------------------------------------------------------------------------------- */

static bool write_proc_file(const char *path, const char *line)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = write(fd, line, strlen(line)) == (ssize_t)strlen(line);
    close(fd);
    return ok;
}

/* Without CAP_SYS_ADMIN, becomes root in a user namespace first (user_namespaces(7)). */
static bool unshare_namespaces(void)
{
    char uid[64], gid[64];
    snprintf(uid, sizeof uid, "0 %u 1", (unsigned)geteuid());
    snprintf(gid, sizeof gid, "0 %u 1", (unsigned)getegid());
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) == 0)
        return true;
    return errno == EPERM && unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) == 0 &&
           write_proc_file("/proc/self/setgroups", "deny") && write_proc_file("/proc/self/uid_map", uid) &&
           write_proc_file("/proc/self/gid_map", gid);
}

/* Prevents mounts from propagating to the original namespace. Fails in a chroot, where / is not a mount point. */
static bool make_mounts_private(void)
{
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

bool tree_can_mount(void)
{
    static enum { UNKNOWN, YES, NO } can_mount;
    if (can_mount == UNKNOWN) {
        can_mount = unshare_namespaces() ? YES : NO;
        make_mounts_private();
        if (can_mount == NO)
            print_message("this process may not mount file systems, probably because it runs in a container\n");
    }
    return can_mount == YES;
}

bool tree_mask_file(const char *path)
{
    return tree_can_mount() && make_mounts_private() &&
           (mount("/dev/null", path, NULL, MS_BIND, NULL) == 0 || errno == ENOENT);
}

static void skip_test(void **state)
{
    (void)state;
    skip();
}

struct CMUnitTest tree_mount_test(const char *name, CMUnitTestFunction test, CMFixtureFunction setup)
{
    if (tree_can_mount())
        return (struct CMUnitTest){name, test, setup, tree_teardown, NULL};
    return (struct CMUnitTest){name, skip_test, NULL, NULL, NULL};
}

/* -- content ------------------------------------------------------------------------------------------------------- */

bool tree_write_file(struct tree *t, const char *path, const char *content)
{
    char full_path[8192];
    tree_path(t, path, full_path);
    return write_content(full_path, content, strlen(content));
}

bool tree_fill_file(struct tree *t, const char *path, char byte, size_t count)
{
    char full_path[8192];
    char *content = malloc(count);
    tree_path(t, path, full_path);
    memset(content, byte, count);
    bool ok = write_content(full_path, content, count);
    free(content);
    return ok;
}

/* The content of a file, followed by a NUL; the caller frees it. NULL: failed. */
static char *read_content(const char *path, size_t *len)
{
    FILE *file = fopen(path, "r");
    size_t capacity = 1 << 22;
    char *content = malloc(capacity);
    if (file == NULL || content == NULL) {
        free(content);
        if (file != NULL)
            fclose(file);
        return NULL;
    }
    *len = fread(content, 1, capacity - 1, file);
    content[*len] = '\0';
    fclose(file);
    return content;
}

bool tree_file_equals(struct tree *t, const char *path, const char *content)
{
    char full_path[8192];
    size_t len = 0;
    tree_path(t, path, full_path);
    char *found = read_content(full_path, &len);
    bool same = found != NULL && len == strlen(content) && memcmp(found, content, len) == 0;
    free(found);
    return same;
}

bool tree_file_is_filled(struct tree *t, const char *path, char byte, size_t count)
{
    char full_path[8192];
    size_t len = 0, i = 0;
    tree_path(t, path, full_path);
    char *found = read_content(full_path, &len);
    while (found != NULL && i < len && found[i] == byte)
        i++;
    bool same = found != NULL && len == count && i == len;
    free(found);
    return same;
}

bool tree_exists(struct tree *t, const char *path)
{
    char full_path[8192];
    struct stat stat;
    tree_path(t, path, full_path);
    return lstat(full_path, &stat) == 0;
}

bool tree_symlink(struct tree *t, const char *target, const char *path)
{
    char full_path[8192], absolute[256];
    tree_path(t, path, full_path);
    snprintf(absolute, sizeof absolute, "%s%s", target[0] == '@' ? t->base : "", target + (target[0] == '@'));
    return symlink(absolute, full_path) == 0;
}

bool tree_mkdir(struct tree *t, const char *path)
{
    char full_path[8192];
    tree_path(t, path, full_path);
    return mkdir(full_path, 0755) == 0;
}

static size_t tree_count_entries(const char *path)
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

size_t tree_count_temp_files(struct tree *t)
{
    char full_path[8192];
    tree_path(t, TEMP_DIR_NAME, full_path);
    return tree_count_entries(full_path);
}

bool tree_outside_is_intact(struct tree *t)
{
    return tree_count_entries(t->outside) == 1 && tree_file_equals(t, "../outside/secret", SECRET) &&
           tree_count_entries(t->base) == 2;
}

void *swapper_main(void *arg)
{
    struct swapper *s = arg;
    while (!atomic_load(&s->stop))
        renameat2(AT_FDCWD, s->directory, AT_FDCWD, s->link, RENAME_EXCHANGE);
    return NULL;
}

/* -- calls --------------------------------------------------------------------------------------------------------- */

static const struct field *tree_find_field(const struct type *record, const char *name)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    fprintf(stderr, "%s has no field %s\n", record->name, name);
    abort();
}

static int set_field(struct tree *t, char *input, const char *name, struct str value)
{
    const struct field *f = tree_find_field(t->function->input, name);
    return type_parse(f->type, value, t->arena, &t->limits, input + f->offset, &t->e);
}

int tree_call_fields(struct tree *t, const char *function, const char *field, struct str data,
                     const char *const pairs[])
{
    arena_unref(t->arena);
    t->arena = arena_new();
    t->function = registry_find(t->registry, str_from(function)); /* never NULL in a correct test */
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
            rc = set_field(t, input, f->name, str_from(f->default_text));
        else if (f->type->kind != TYPE_BOOLEAN && f->type->kind != TYPE_RECORD)
            type_set_absent(f->type, input + f->offset);
    }
    if (rc == 0 && field != NULL)
        rc = set_field(t, input, field, data);
    for (; rc == 0 && pairs[0] != NULL; pairs += 2)
        rc = set_field(t, input, pairs[0], str_from(pairs[1]));
    struct check_error check_error;
    if (rc == 0 && !type_check_rules(t->function->input, input, &check_error))
        rc = err_set(&t->e, check_error.rc, "%s %s", check_error.pointer, check_error.detail);
    if (rc != 0)
        return rc;
    atomic_llong read_quota = t->limits.max_read_bytes;
    struct run_context run = {.arena = t->arena,
                              .canceled = &t->canceled,
                              .limits = &t->limits,
                              .read_quota = &read_quota,
                              .file_root = t->file_root,
                              .e = &t->e};
    return t->function->run(input, t->output, &run);
}

int64_t tree_output_integer(struct tree *t, const char *field)
{
    const struct field *f = tree_find_field(t->function->output, field);
    const void *value = (const char *)t->output + f->offset;
    if (f->type->kind == TYPE_BOOLEAN)
        return *(const bool *)value;
    return f->type->kind == TYPE_ENUM ? *(const int *)value : *(const int64_t *)value;
}

struct str tree_output_str(struct tree *t, const char *field)
{
    const struct field *f = tree_find_field(t->function->output, field);
    struct str text;
    memcpy(&text, (const char *)t->output + f->offset, sizeof text);
    return text;
}
