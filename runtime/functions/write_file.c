/* write_file - writes a file. If the space does not suffice, the file is unchanged. */
#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/file_root.h"
#include "runtime/files/temp_file.h"
#include "runtime/task/function.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum mode { MODE_W, MODE_A, MODE_X };
static const char *const write_mode_names[] = {"w", "a", "x", NULL};

struct write_file_input {
    struct str path, data;
    int encoding; /* enum encoding */
    int mode;     /* enum mode */
    bool create_parents, fsync, atomic;
};

struct write_file_output {
    int64_t written_bytes, size_bytes;
};

static const struct type mode_type = {.kind = TYPE_ENUM, .names = write_mode_names};

static const struct field input_fields[] = {
    {"path", &file_path_type, offsetof(struct write_file_input, path), FIELD_REQUIRED, NULL,
     "The file, relative to the file root", "notes/a.txt"},
    {"data", &file_data_type, offsetof(struct write_file_input, data), FIELD_REQUIRED, NULL, "The data to write",
     "Hello, file.\n"},
    {"encoding", &file_encoding_type, offsetof(struct write_file_input, encoding), FIELD_DEFAULTED, "utf-8",
     "The encoding of `data`", NULL},
    {"mode", &mode_type, offsetof(struct write_file_input, mode), FIELD_DEFAULTED, "w",
     "Mode `w` replaces the content, `a` appends to it, `x` fails if the file exists; each creates a missing file",
     NULL},
    {"create_parents", &file_bool_type, offsetof(struct write_file_input, create_parents), FIELD_DEFAULTED, "false",
     "Whether to create missing parent directories", NULL},
    {"fsync", &file_bool_type, offsetof(struct write_file_input, fsync), FIELD_DEFAULTED, "false",
     "Whether to wait until the data is on disk", NULL},
    {"atomic", &file_bool_type, offsetof(struct write_file_input, atomic), FIELD_DEFAULTED, "false",
     "Whether readers find either the old content or the new, even after a crash; only with mode w or x"
     "false",
     NULL},
    {0},
};

static const struct field output_fields[] = {
    {"written_bytes", &file_bytes_type, offsetof(struct write_file_output, written_bytes), FIELD_REQUIRED, NULL,
     "The number of bytes written: all of the data", "13"},
    {"size_bytes", &file_bytes_type, offsetof(struct write_file_output, size_bytes), FIELD_REQUIRED, NULL,
     "The new size of the file in bytes", "13"},
    {0},
};

/* Mode a changes the file in place. */
static const struct rule input_rules[] = {
    {RULE_ONLY_WITH, "atomic", "mode", {"w", "x"}},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD,
    .fields = input_fields,
    .size = sizeof(struct write_file_input),
    .rules = input_rules,
};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct write_file_output)};

/* A file that is written in place. */
struct target {
    int fd;
    bool created;            /* by this call: the file is removed if writing fails */
    struct file_entry entry; /* valid if created */
};

enum { OPEN_TRIES = 8 }; /* a try fails if the file is created or removed between its two calls */

/* Creates the file. ERR_FILE_EXISTS if it exists. */
static int create_target(const struct write_file_input *input, int flags, struct run_context *run, struct target *out)
{
    struct file_entry entry;
    int rc = input->mode == MODE_X ? file_root_find_new(run->file_root, input->path, &entry, run->e)
                                   : file_root_find_target(run->file_root, input->path, &entry, run->e);
    if (rc != 0)
        return rc;
    int fd = openat(entry.dir_fd, entry.name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (fd < 0) {
        rc = file_error_set_errno(run->e, errno, input->path);
        close(entry.dir_fd);
        return rc;
    }
    *out = (struct target){.fd = fd, .created = true, .entry = entry};
    return 0;
}

static int open_target(const struct write_file_input *input, struct run_context *run, struct target *out)
{
    int flags = O_WRONLY | (input->mode == MODE_A ? O_APPEND : 0), rc = 0, fd;
    if (input->mode == MODE_X)
        return create_target(input, flags, run, out);
    for (int i = 0; i < OPEN_TRIES; i++) {
        rc = file_root_open(run->file_root, input->path, flags, 0, &fd, run->e);
        if (rc == 0)
            *out = (struct target){.fd = fd};
        if (rc != ERR_FILE_NOT_FOUND)
            return rc;
        rc = create_target(input, flags, run, out);
        if (rc != ERR_FILE_EXISTS)
            return rc;
    }
    return rc;
}

/* Closes the file, and removes it if it was created and rc is an error. Returns rc, or if that is 0 the error of
 * close(2). */
static int close_target(struct target *target, int rc, struct str path, struct err *e)
{
    struct stat opened, current;
    if (target->created && rc != 0 && fstat(target->fd, &opened) == 0 &&
        fstatat(target->entry.dir_fd, target->entry.name, &current, AT_SYMLINK_NOFOLLOW) == 0 &&
        opened.st_ino == current.st_ino && opened.st_dev == current.st_dev)
        unlinkat(target->entry.dir_fd, target->entry.name, 0);
    if (target->created)
        close(target->entry.dir_fd);
    if (close(target->fd) != 0 && rc == 0) /* some file systems, such as NFS, report write errors here */
        return file_error_set_errno(e, errno, path);
    return rc;
}

static int write_file_finish(struct target *target, const struct write_file_input *input,
                             struct write_file_output *output, struct err *e)
{
    struct stat stat;
    if (input->fsync && fsync(target->fd) != 0)
        return file_error_set_errno(e, errno, input->path);
    int rc = input->fsync && target->created ? file_entry_sync_dir(&target->entry, input->path, e) : 0;
    if (rc == 0 && fstat(target->fd, &stat) != 0)
        rc = file_error_set_errno(e, errno, input->path);
    if (rc == 0)
        output->size_bytes = stat.st_size;
    return rc;
}

static int write_atomic(const struct write_file_input *input, struct str bytes, struct write_file_output *output,
                        struct run_context *run)
{
    struct file_entry entry;
    struct temp_file temp;
    bool exclusive = input->mode == MODE_X;
    int rc = exclusive ? file_root_find_new(run->file_root, input->path, &entry, run->e)
                       : file_root_find_target(run->file_root, input->path, &entry, run->e);
    if (rc != 0)
        return rc;
    rc = temp_file_create(file_root_temp_dir(run->file_root), 0666, &temp, run->e);
    if (rc != 0)
        goto err_after_entry;
    rc = file_write_at(temp.fd, 0, bytes, input->path, run->e);
    if (rc == 0 && run_canceled(run))
        rc = err_set(run->e, ERR_CANCELED, "The write was canceled; the file is unchanged");
    if (rc == 0)
        rc = temp_file_commit(file_root_temp_dir(run->file_root), &temp, &entry, exclusive,
                              input->fsync || input->atomic, input->path, run->e);
    else
        temp_file_discard(file_root_temp_dir(run->file_root), &temp);
    if (rc == 0)
        output->size_bytes = (int64_t)bytes.len;
err_after_entry:
    close(entry.dir_fd);
    return rc;
}

static int write_in_place(const struct write_file_input *input, struct str bytes, struct write_file_output *output,
                          struct run_context *run)
{
    struct target target = {.fd = -1};
    bool reserved = true;
    int64_t size;
    int rc = open_target(input, run, &target);
    if (rc != 0)
        return rc;
    if (input->mode == MODE_A) {
        rc = file_append(target.fd, bytes, input->path, &size, run->e);
    } else {
        rc = file_reserve(target.fd, 0, bytes.len, &reserved, input->path, run->e);
        if (rc == 0 && !reserved && bytes.len > 0 && !target.created) {
            /* Without a reservation, lack of space would show only after old content is overwritten. */
            close_target(&target, 0, input->path, NULL);
            return write_atomic(input, bytes, output, run);
        }
        if (rc == 0)
            rc = file_write_at(target.fd, 0, bytes, input->path, run->e);
        if (rc == 0 && ftruncate(target.fd, (off_t)bytes.len) != 0)
            rc = file_error_set_errno(run->e, errno, input->path);
    }
    if (rc == 0)
        rc = write_file_finish(&target, input, output, run->e);
    return close_target(&target, rc, input->path, run->e);
}

static int write_file_run(const void *in, void *out, struct run_context *run)
{
    const struct write_file_input *input = in;
    struct write_file_output *output = out;
    struct str bytes;
    struct arena *scratch = arena_new(); /* for decoded base64, freed after the write */
    if (scratch == NULL)
        return err_nomem(run->e);
    int rc = file_decode(input->data, (enum encoding)input->encoding, scratch, &bytes, run->e);
    if (rc == 0 && input->create_parents)
        rc = file_root_make_parents(run->file_root, input->path, run->e);
    if (rc == 0)
        rc = input->atomic ? write_atomic(input, bytes, output, run) : write_in_place(input, bytes, output, run);
    output->written_bytes = rc == 0 ? (int64_t)bytes.len : 0;
    arena_unref(scratch);
    return rc;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "new",
     .summary = "A new file",
     .input = JSON({"path": "data.txt", "data": "aio file"}),
     .result = JSON({"written_bytes": 8, "size_bytes": 8})},
    {.name = "append",
     .summary = "A line appended",
     .input = JSON({"path": "log.txt", "data": "one line\n", "mode": "a"}),
     .result = JSON({"written_bytes": 9, "size_bytes": 9})},
    {.name = "atomic",
     .summary = "Replaced atomically, in directories that are created",
     .input = JSON({"path": "notes/2026/a.txt", "data": "Hello, file.\n", "atomic": true, "create_parents": true}),
     .result = JSON({"written_bytes": 13, "size_bytes": 13})},
    {0},
};
/* clang-format on */

static const int errors[] = {FILE_ERRORS, ERR_FILE_EXISTS, ERR_INSUFFICIENT_STORAGE, 0};

const struct function function_write_file = {
    .name = "write_file",
    .doc = "Writes a file, or appends to it, in one call",
    .description = "If the file system runs out of space, the file stays unchanged.",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &input_type,
    .output = &output_type,
    .run = write_file_run,
};
