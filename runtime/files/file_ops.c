#include "runtime/files/file_ops.h"

#include "runtime/files/file_root.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* -- the types of arguments ---------------------------------------------------------------------------------------- */

static const char *const whence_names[] = {
    [WHENCE_START] = "start", [WHENCE_CURRENT] = "current", [WHENCE_END] = "end", NULL};

static const struct type line_type = {.kind = TYPE_STRING, .max = INT64_C(1) << 30, .allow_nul = true};
const struct type file_lines_type = {
    .kind = TYPE_ARRAY,
    .name = "FileLines",
    .doc = "Lines in the encoding of the file, each with the newline that ends it.",
    .item = &line_type,
    .max = 1 << 20,
};
const struct type file_whence_type = {
    .kind = TYPE_ENUM,
    .name = "Whence",
    .doc = "The origin of an offset: the `start` of the file, the `current` position, or the `end` of the file.",
    .names = whence_names,
};
const struct type file_seek_offset_type = {.kind = TYPE_INTEGER, .min = -SAFE_INTEGER_MAX, .max = SAFE_INTEGER_MAX};

/* -- opening ------------------------------------------------------------------------------------------------------- */

const int file_open_flags[FILE_MODE_COUNT] = {
    [FILE_R] = O_RDONLY,
    [FILE_R_PLUS] = O_RDWR,
    [FILE_W] = O_WRONLY | O_CREAT | O_TRUNC,
    [FILE_W_PLUS] = O_RDWR | O_CREAT | O_TRUNC,
    [FILE_A] = O_WRONLY | O_CREAT | O_APPEND,
    [FILE_A_PLUS] = O_RDWR | O_CREAT | O_APPEND,
    [FILE_X] = O_WRONLY | O_CREAT | O_EXCL,
    [FILE_X_PLUS] = O_RDWR | O_CREAT | O_EXCL,
};

static bool is_append_mode(const struct open_file *file)
{
    return (file_open_flags[file->mode] & O_APPEND) != 0;
}

int file_op_open(struct open_file *file, struct run_context *run)
{
    int fd;
    int rc = file_root_open(run->file_root, file->path, file_open_flags[file->mode], 0666, &fd, run->e);
    if (rc != 0)
        return rc;
    struct stat st = {0};
    if (is_append_mode(file) && fstat(fd, &st) != 0) {
        rc = file_error_set_errno(run->e, errno, file->path);
        close(fd);
        return rc;
    }
    if (run_canceled(run)) {
        close(fd);
        return err_set(run->e, ERR_CANCELED, "Opening the file was canceled");
    }
    atomic_store(&file->position, st.st_size);
    file->fd = fd;
    return 0;
}

/* -- the methods --------------------------------------------------------------------------------------------------- */

static struct file_range range_at_position(const struct file_call *call, const struct run_context *run)
{
    const struct open_file *file = call->file;
    return (struct file_range){
        .fd = file->fd,
        .offset = atomic_load(&file->position),
        .max_bytes = call->length != INTEGER_ABSENT ? call->length : run->limits->max_read_bytes,
        .encoding = (enum encoding)file->encoding,
        .path = file->path,
    };
}

typedef int file_read_fn(const struct file_range *range, struct run_context *run, struct file_chunk *out);

static int read_at_position(struct open_file *file, const struct file_range *range, file_read_fn *read,
                            struct file_result *result, struct run_context *run)
{
    struct file_chunk chunk;
    int rc = read(range, run, &chunk);
    if (rc != 0)
        return rc;
    int64_t position = range->offset + chunk.read_bytes;
    atomic_store(&file->position, position);
    *result = (struct file_result){
        .data = chunk.data, .read_bytes = chunk.read_bytes, .position = position, .eof = chunk.eof};
    return 0;
}

int file_op_read(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct file_range range = range_at_position(call, run);
    range.to_eof = call->length == INTEGER_ABSENT;
    return read_at_position(call->file, &range, file_read, result, run);
}

int file_op_readline(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct file_range range = range_at_position(call, run);
    return read_at_position(call->file, &range, file_read_line, result, run);
}

static size_t count_lines(struct str bytes)
{
    size_t count = 0;
    for (struct str line; file_next_line(&bytes, &line);)
        count++;
    return count;
}

static int split_lines(const struct open_file *file, struct str bytes, struct run_context *run, struct array *out)
{
    size_t all = count_lines(bytes), count = 0;
    if (all > (size_t)file_lines_type.max)
        return err_set(run->e, ERR_LIMIT_EXCEEDED, "%s has more than %lld lines left; use readline, or GET /v1/fs/PATH",
                       file->path.data, (long long)file_lines_type.max);
    struct str line, *lines = arena_calloc(run->arena, all, sizeof *lines);
    if (lines == NULL)
        return err_nomem(run->e);
    int rc = 0;
    while (rc == 0 && file_next_line(&bytes, &line))
        rc = file_encode(line, (enum encoding)file->encoding, file->path, run->arena, &lines[count++], run->e);
    *out = (struct array){lines, count};
    return rc;
}

int file_op_readlines(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct open_file *file = call->file;
    struct file_range range = range_at_position(call, run);
    struct str bytes;
    struct array lines;
    range.max_bytes = run->limits->max_read_bytes;
    range.to_eof = true;
    int rc = file_read_bytes(&range, run, &bytes);
    if (rc != 0)
        return rc;
    rc = split_lines(file, bytes, run, &lines);
    if (rc != 0)
        return rc;
    int64_t position = range.offset + (int64_t)bytes.len;
    atomic_store(&file->position, position);
    *result = (struct file_result){.lines = lines, .read_bytes = (int64_t)bytes.len, .position = position, .eof = true};
    return 0;
}

static int write_at_position(struct open_file *file, struct str bytes, struct file_result *result,
                             struct run_context *run)
{
    int64_t position = atomic_load(&file->position);
    int rc = 0;
    if (bytes.len == 0) {
        /* the position is unchanged, as with write(2) */
    } else if (is_append_mode(file)) {
        rc = file_append(file->fd, bytes, file->path, &position, run->e);
    } else {
        rc = file_write_at(file->fd, position, bytes, file->path, run->e);
        position += (int64_t)bytes.len;
    }
    if (rc != 0)
        return rc;
    atomic_store(&file->position, position);
    *result = (struct file_result){.written_bytes = (int64_t)bytes.len, .position = position};
    return 0;
}

int file_op_write(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct open_file *file = call->file;
    struct str bytes;
    int rc = file_decode(call->data, (enum encoding)file->encoding, run->arena, &bytes, run->e);
    return rc != 0 ? rc : write_at_position(file, bytes, result, run);
}

/* Joins the lines first, so that all are written or none. As in Python, no newlines are added. */
int file_op_writelines(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct open_file *file = call->file;
    const struct str *lines = call->lines.items;
    size_t len = 0;
    struct str *decoded = arena_calloc(run->arena, call->lines.count, sizeof *decoded);
    if (decoded == NULL)
        return err_nomem(run->e);
    for (size_t i = 0; i < call->lines.count; i++) {
        int rc = file_decode(lines[i], (enum encoding)file->encoding, run->arena, &decoded[i], run->e);
        if (rc != 0)
            return rc;
        len += decoded[i].len;
    }
    char *all = arena_alloc(run->arena, len + 1);
    if (all == NULL)
        return err_nomem(run->e);
    size_t at = 0;
    for (size_t i = 0; i < call->lines.count; i++) {
        memcpy(all + at, decoded[i].data, decoded[i].len);
        at += decoded[i].len;
    }
    return write_at_position(file, (struct str){all, len}, result, run);
}

int file_op_pread(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct file_range range = range_at_position(call, run);
    struct file_chunk chunk;
    range.offset = call->offset;
    int rc = file_read(&range, run, &chunk);
    if (rc == 0)
        *result = (struct file_result){.data = chunk.data, .read_bytes = chunk.read_bytes, .eof = chunk.eof};
    return rc;
}

int file_op_pwrite(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct open_file *file = call->file;
    struct str bytes;
    int rc = file_decode(call->data, (enum encoding)file->encoding, run->arena, &bytes, run->e);
    if (rc == 0)
        rc = file_write_at(file->fd, call->offset, bytes, file->path, run->e);
    if (rc == 0)
        *result = (struct file_result){.written_bytes = (int64_t)bytes.len};
    return rc;
}

static int get_file_size(const struct open_file *file, int64_t *size, struct err *e)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return file_error_set_errno(e, errno, file->path);
    *size = st.st_size;
    return 0;
}

int file_op_seek(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct open_file *file = call->file;
    int64_t base = 0, position;
    int rc = 0;
    if (call->whence == WHENCE_CURRENT)
        base = atomic_load(&file->position);
    else if (call->whence == WHENCE_END)
        rc = get_file_size(file, &base, run->e);
    if (rc != 0)
        return rc;
    if (__builtin_add_overflow(base, call->offset, &position) || position < 0 || position > file_bytes_type.max)
        return err_set(run->e, ERR_INVALID_ARGUMENT, "The new position in %s is negative or exceeds 2^53",
                       file->path.data);
    atomic_store(&file->position, position);
    *result = (struct file_result){.position = position};
    return 0;
}

int file_op_tell(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    (void)run;
    *result = (struct file_result){.position = atomic_load(&call->file->position)};
    return 0;
}

int file_op_truncate(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct open_file *file = call->file;
    int64_t size = call->size != INTEGER_ABSENT ? call->size : atomic_load(&file->position);
    if (ftruncate(file->fd, size) != 0)
        return file_error_set_errno(run->e, errno, file->path);
    *result = (struct file_result){.size_bytes = size};
    return 0;
}

/* Written data is never buffered outside the kernel. */
int file_op_flush(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    (void)call;
    (void)result;
    (void)run;
    return 0;
}

int file_op_fsync(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    (void)result;
    return fsync(call->file->fd) == 0 ? 0 : file_error_set_errno(run->e, errno, call->file->path);
}

int file_op_stat(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct stat st;
    if (fstat(call->file->fd, &st) != 0)
        return file_error_set_errno(run->e, errno, call->file->path);
    return file_stat_from(&st, run->arena, &result->stat, run->e);
}

int file_op_close(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    struct open_file *file = call->file;
    (void)result;
    int fd = file->fd;
    file->fd = -1; /* close(2) releases the descriptor even if it fails */
    return close(fd) == 0 || errno == EINTR ? 0 : file_error_set_errno(run->e, errno, file->path);
}
