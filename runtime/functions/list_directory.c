/* list_directory - lists a directory, sorted by name, a limited number of entries at a time. */
#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/file_root.h"
#include "runtime/files/temp_file.h"
#include "runtime/task/function.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ENTRIES_MAX = 10000,
    CANCEL_CHECK_INTERVAL = 4096, /* names between two checks for cancellation */
    ENTRY_BYTES = 48,             /* counted toward max_read_bytes for each entry, besides its name: its other JSON */
};

struct list_directory_input {
    struct str path;
    struct str after; /* absent: from the first name */
    int64_t limit;
};

struct entry {
    struct str name;
    int type;           /* enum file_type */
    int64_t size_bytes; /* absent except for regular files */
};

struct list_directory_output {
    struct array entries; /* of struct entry */
    bool truncated;
    int64_t skipped_non_utf8;
};

static const struct type name_type = {.kind = TYPE_STRING, .min = 1, .max = 255};
static const struct type limit_type = {.kind = TYPE_INTEGER, .min = 1, .max = ENTRIES_MAX};

static const struct field entry_fields[] = {
    {"name", &name_type, offsetof(struct entry, name), FIELD_REQUIRED, NULL, "The name in this directory", "a.txt"},
    {"type", &file_type_type, offsetof(struct entry, type), FIELD_REQUIRED, NULL, "The type; symlinks are not followed",
     "file"},
    {"size_bytes", &file_bytes_type, offsetof(struct entry, size_bytes), FIELD_OPTIONAL, NULL,
     "The size in bytes; only for files", "13"},
    {0},
};
static const struct type entry_type = {
    .kind = TYPE_RECORD, .name = "DirectoryEntry", .fields = entry_fields, .size = sizeof(struct entry)};
static const struct type entries_type = {.kind = TYPE_ARRAY, .item = &entry_type, .min = 0, .max = ENTRIES_MAX};

static const struct field input_fields[] = {
    {"path", &file_path_type, offsetof(struct list_directory_input, path), FIELD_DEFAULTED, ".",
     "The directory, relative to the file root", "notes"},
    {"after", &name_type, offsetof(struct list_directory_input, after), FIELD_OPTIONAL, NULL,
     "List only names that sort after this one, such as the last of a truncated list; absent: from the first", NULL},
    {"limit", &limit_type, offsetof(struct list_directory_input, limit), FIELD_DEFAULTED, "10000",
     "The maximum number of entries, from 1 to 10000", NULL},
    {0},
};

static const struct field output_fields[] = {
    {"entries", &entries_type, offsetof(struct list_directory_output, entries), FIELD_REQUIRED, NULL,
     "The entries, sorted by the bytes of their names", NULL},
    {"truncated", &file_bool_type, offsetof(struct list_directory_output, truncated), FIELD_REQUIRED, NULL,
     "Whether more names follow the last one listed", "false"},
    {"skipped_non_utf8", &file_bytes_type, offsetof(struct list_directory_output, skipped_non_utf8), FIELD_REQUIRED,
     NULL, "The number of entries left out because their names are not UTF-8", "0"},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct list_directory_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct list_directory_output)};

struct name {
    char text[256];
};

/* Collects the first `max` names in sort order. Whenever 2 * max names are collected, they are sorted and all but the
 * first `max` are dropped, so the memory for a directory of any size is bounded. */
struct name_set {
    struct name *items; /* owned */
    size_t count, capacity, max;
    bool was_cut;   /* names were dropped: the first `max` items are sorted, and later names are not needed */
    bool truncated; /* the directory has more than `max` names */
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static void names_sort_and_cut(struct name_set *names)
{
    if (names->count > 0)
        qsort(names->items, names->count, sizeof *names->items, compare_names);
    if (names->count <= names->max)
        return;
    names->count = names->max;
    names->was_cut = names->truncated = true;
}

/* False: out of memory. */
static bool names_add(struct name_set *names, struct str name)
{
    if (names->was_cut && strcmp(name.data, names->items[names->max - 1].text) > 0)
        return true; /* sorts after `max` other names */
    if (names->count == 2 * names->max)
        names_sort_and_cut(names);
    if (names->count == names->capacity) {
        size_t capacity = names->capacity == 0 ? 64 : names->capacity * 2;
        struct name *items = realloc(names->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        names->items = items;
        names->capacity = capacity;
    }
    memcpy(names->items[names->count++].text, name.data, name.len + 1);
    return true;
}

static bool is_listed(struct str name, struct str after)
{
    return !str_eq(name, ".") && !str_eq(name, "..") && !str_eq(name, TEMP_DIR_NAME) &&
           (after.data == NULL || strcmp(name.data, after.data) > 0);
}

static int collect_names(DIR *dir, const struct list_directory_input *input, struct name_set *names,
                         int64_t *skipped_non_utf8, struct run_context *run)
{
    const struct dirent *entry;
    for (size_t seen = 1; (errno = 0, entry = readdir(dir)) != NULL; seen++) {
        struct str name = str_from(entry->d_name);
        if (seen % CANCEL_CHECK_INTERVAL == 0 && run_canceled(run))
            return err_set(run->e, ERR_CANCELED, "The list was canceled");
        if (!is_listed(name, input->after))
            continue;
        if (!str_is_utf8(name))
            ++*skipped_non_utf8;
        else if (!names_add(names, name))
            return err_nomem(run->e);
    }
    return errno == 0 ? 0 : file_error_set_errno(run->e, errno, input->path);
}

static int stat_entries(int directory, const struct name_set *names, struct list_directory_output *output,
                        struct str path, struct run_context *run)
{
    struct entry *entries = arena_calloc(run->arena, names->count, sizeof *entries);
    size_t count = 0;
    if (entries == NULL)
        return err_nomem(run->e);
    for (size_t i = 0; i < names->count; i++) {
        struct entry *entry = &entries[count];
        struct str name = str_from(names->items[i].text);
        struct stat stat;
        if (fstatat(directory, name.data, &stat, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT) /* removed meanwhile */
                continue;
            return file_error_set_errno(run->e, errno, path);
        }
        if (!arena_str(run->arena, name.data, name.len, &entry->name))
            return err_nomem(run->e);
        entry->type = (int)file_type_of(stat.st_mode);
        entry->size_bytes = entry->type == FILE_TYPE_FILE ? stat.st_size : INTEGER_ABSENT;
        count++;
    }
    output->entries = (struct array){entries, count};
    return 0;
}

/* The bytes to charge to the request's read quota for the list. */
static int64_t read_cost(const struct name_set *names)
{
    int64_t cost = 0;
    for (size_t i = 0; i < names->count; i++)
        cost += ENTRY_BYTES + (int64_t)strlen(names->items[i].text);
    return cost;
}

static int list_directory_run(const void *in, void *out, struct run_context *run)
{
    const struct list_directory_input *input = in;
    struct list_directory_output *output = out;
    struct name_set names = {.max = (size_t)input->limit};
    int fd;
    int rc = file_root_open_dir(run->file_root, input->path, &fd, run->e);
    if (rc != 0)
        return rc;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        rc = file_error_set_errno(run->e, errno, input->path);
        close(fd);
        return rc;
    }
    rc = collect_names(dir, input, &names, &output->skipped_non_utf8, run);
    names_sort_and_cut(&names);
    if (rc == 0)
        rc = run_reserve_read(run, read_cost(&names));
    if (rc == 0)
        rc = stat_entries(fd, &names, output, input->path, run);
    output->truncated = names.truncated;
    free(names.items);
    closedir(dir);
    return rc;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "root",
     .summary = "The file root",
     .input = JSON({})},
    {.name = "some",
     .summary = "Three names after a given one",
     .input = JSON({"path": "docs", "after": "a.txt", "limit": 3}),
     .result = JSON({"entries": [{"name": "b.txt", "type": "file", "size_bytes": 13},
                                 {"name": "deep", "type": "directory"},
                                 {"name": "link", "type": "symlink"}],
                     "truncated": true, "skipped_non_utf8": 0})},
    {0},
};
/* clang-format on */

static const int errors[] = {FILE_ERRORS, ERR_LIMIT_EXCEEDED, 0};

const struct function function_list_directory = {
    .name = "list_directory",
    .doc = "Lists a directory, sorted by name",
    .description = "Names are compared byte by byte, so upper case sorts before lower case.",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &input_type,
    .output = &output_type,
    .run = list_directory_run,
};
