#include "runtime/files/file_io.h"

#include "runtime/files/file_root.h"
#include "runtime/lib/base64.h"
#include "runtime/lib/io.h"
#include "runtime/types/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* -- types --------------------------------------------------------------------------------------------------------- */

enum {
    MAX_UTF8_CHAR = 4, /* bytes */
    LINE_CHUNK = 4096, /* bytes searched for a newline at a time */
};

const char *const file_encoding_names[] = {[ENCODING_UTF8] = "utf-8", [ENCODING_BASE64] = "base64", NULL};
static const char *const file_type_names[] = {
    [FILE_TYPE_FILE] = "file",
    [FILE_TYPE_DIRECTORY] = "directory",
    [FILE_TYPE_SYMLINK] = "symlink",
    [FILE_TYPE_OTHER] = "other",
    NULL,
};

const struct type file_path_type = {
    .kind = TYPE_STRING,
    .name = "FilePath",
    .doc = "A path relative to the file root, of 1 to 4095 characters without U+0000. "
           "The system limits a path to 4095 bytes, and each name in it to 255 bytes; "
           "longer ones fail with `invalid_argument`. "
           "Symlinks are followed within the root; a path that leads outside fails with `path_forbidden`.",
    .min = 1,
    .max = FILE_PATH_MAX,
};
const struct type file_data_type = {
    .kind = TYPE_STRING,
    .name = "FileData",
    .doc = "Data to write, as text or in base64, as the encoding says. "
           "Malformed base64 fails with `invalid_argument`.",
    .max = INT64_C(1) << 30,
    .allow_nul = true,
};
const struct type file_read_data_type = {.kind = TYPE_STRING, .max = INT64_MAX, .allow_nul = true};
const struct type file_encoding_type = {
    .kind = TYPE_ENUM,
    .name = "Encoding",
    .doc = "How the bytes of a file are represented in JSON:\n\n"
           "- `utf-8`: as text; reading bytes that are not UTF-8 fails with `invalid_utf8`\n"
           "- `base64`: in base64 (RFC 4648), padded and without line breaks; for any bytes",
    .names = file_encoding_names,
};
const struct type file_read_length_type = {.kind = TYPE_INTEGER, .min = 0, .limit = &limits_fields[LIMIT_READ_BYTES]};
const struct type file_bytes_type = {.kind = TYPE_INTEGER, .min = 0, .max = SAFE_INTEGER_MAX};
const struct type file_bool_type = {.kind = TYPE_BOOLEAN};
const struct type file_type_type = {
    .kind = TYPE_ENUM,
    .name = "FileType",
    .doc = "The type of a file; `other` is a device, a pipe or a socket.",
    .names = file_type_names,
};

static const struct type mode_type = {.kind = TYPE_STRING, .min = 4, .max = 4, .pattern = "^[0-7]{4}$"};

static const struct field file_stat_fields[] = {
    {"type", &file_type_type, offsetof(struct file_stat, type), FIELD_REQUIRED, NULL, "The type of the file", "file"},
    {"size_bytes", &file_bytes_type, offsetof(struct file_stat, size_bytes), FIELD_REQUIRED, NULL, "The size in bytes",
     "13"},
    {"mode", &mode_type, offsetof(struct file_stat, mode), FIELD_REQUIRED, NULL,
     "The permission bits, as four octal digits", "0644"},
    {"links", &file_bytes_type, offsetof(struct file_stat, links), FIELD_REQUIRED, NULL, "The number of hard links",
     "1"},
    {"modified_at", &time_type, offsetof(struct file_stat, modified_us), FIELD_REQUIRED, NULL,
     "When the content last changed", NULL},
    {"changed_at", &time_type, offsetof(struct file_stat, changed_us), FIELD_REQUIRED, NULL,
     "When the content, permissions or links last changed", NULL},
    {"accessed_at", &time_type, offsetof(struct file_stat, accessed_us), FIELD_REQUIRED, NULL,
     "When the file was last read, if the file system records it", NULL},
    {0},
};
const struct type file_stat_type = {
    .kind = TYPE_RECORD, .name = "StatFileResult", .fields = file_stat_fields, .size = sizeof(struct file_stat)};

/* -- reading ------------------------------------------------------------------------------------------------------- */

static int file_size(const struct file_range *range, int64_t *size, struct err *e)
{
    struct stat stat;
    if (fstat(range->fd, &stat) != 0)
        return file_error_set_errno(e, errno, range->path);
    *size = stat.st_size;
    return 0;
}

/* Reads the part of the range that lies within `size`, the size of the file. whole_chars: the result ends between UTF-8
 * characters. */
static int read_range(const struct file_range *range, int64_t size, bool whole_chars, struct arena *arena,
                      struct run_context *run, struct str *out)
{
    int64_t available = range->offset < size ? size - range->offset : 0;
    int64_t len = range->max_bytes + (whole_chars && range->max_bytes > 0 ? MAX_UTF8_CHAR - 1 : 0);
    if (range->to_eof && available > range->max_bytes)
        return err_set(run->e, ERR_LIMIT_EXCEEDED,
                       "%s has more than %lld bytes left, the limit max_read_bytes; set length, or use GET /v1/fs/PATH",
                       range->path.data, (long long)range->max_bytes);
    if (len > available)
        len = available;
    int64_t reserved = len < range->max_bytes ? len : range->max_bytes;
    int rc = run_reserve_read(run, reserved);
    if (rc != 0)
        return rc;
    char *bytes = arena_alloc(arena, (size_t)len + 1);
    ssize_t n = bytes == NULL ? -1 : io_pread_full(range->fd, bytes, (size_t)len, range->offset);
    if (bytes == NULL)
        return err_nomem(run->e);
    if (n < 0)
        return file_error_set_errno(run->e, errno, range->path);
    struct str text = {bytes, (size_t)n}; /* n is less than `len` if the file was truncated meanwhile */
    if (whole_chars)
        text.len = utf8_prefix_len(text, (size_t)range->max_bytes);
    run_release_read(run, reserved - (int64_t)text.len); /* negative if a single character exceeds max_bytes */
    bytes[text.len] = '\0';
    *out = text;
    return 0;
}

int file_read_bytes(const struct file_range *range, struct run_context *run, struct str *out)
{
    int64_t size = 0;
    int rc = file_size(range, &size, run->e);
    return rc != 0 ? rc : read_range(range, size, false, run->arena, run, out);
}

int file_encode(struct str bytes, enum encoding encoding, struct str path, struct arena *arena, struct str *out,
                struct err *e)
{
    if (encoding == ENCODING_UTF8) {
        if (!str_is_utf8(bytes))
            return file_error_set(e, ERR_INVALID_UTF8, path, "the data is not UTF-8; use \"encoding\": \"base64\"");
        *out = bytes;
        return 0;
    }
    size_t len = base64_encoded_len(bytes.len);
    char *encoded = arena_alloc(arena, len + 1);
    if (encoded == NULL)
        return err_nomem(e);
    base64_encode(bytes.data, bytes.len, encoded);
    *out = (struct str){encoded, len};
    return 0;
}

/* Reads and encodes a range. With ENCODING_BASE64, the memory for the raw bytes is freed on return. */
static int read_chunk(const struct file_range *range, int64_t size, bool whole_chars, struct run_context *run,
                      struct file_chunk *out)
{
    struct str bytes = {0}, data = {0};
    struct arena *scratch = range->encoding == ENCODING_UTF8 ? arena_ref(run->arena) : arena_new();
    if (scratch == NULL)
        return err_nomem(run->e);
    int rc = read_range(range, size, whole_chars, scratch, run, &bytes);
    if (rc == 0)
        rc = file_encode(bytes, range->encoding, range->path, run->arena, &data, run->e);
    if (rc == 0)
        *out = (struct file_chunk){
            .data = data,
            .read_bytes = (int64_t)bytes.len,
            .size_bytes = size,
            .eof = range->offset + (int64_t)bytes.len >= size,
        };
    arena_unref(scratch);
    return rc;
}

int file_read(const struct file_range *range, struct run_context *run, struct file_chunk *out)
{
    int64_t size = 0;
    int rc = file_size(range, &size, run->e);
    return rc != 0 ? rc : read_chunk(range, size, range->encoding == ENCODING_UTF8, run, out);
}

/* The length of the line at `offset`, newline included, at most max_bytes. -1 with errno set: a read failed. */
static int64_t line_length(int fd, int64_t offset, int64_t max_bytes, bool *found_newline)
{
    char chunk[LINE_CHUNK];
    int64_t scanned = 0;
    *found_newline = false;
    while (scanned < max_bytes) {
        size_t want = max_bytes - scanned < (int64_t)sizeof chunk ? (size_t)(max_bytes - scanned) : sizeof chunk;
        ssize_t n = io_pread_full(fd, chunk, want, offset + scanned);
        if (n < 0)
            return -1;
        const char *newline = memchr(chunk, '\n', (size_t)n);
        if (newline != NULL) {
            *found_newline = true;
            return scanned + (newline - chunk) + 1;
        }
        scanned += n;
        if ((size_t)n < want)
            break;
    }
    return scanned;
}

int file_read_line(const struct file_range *range, struct run_context *run, struct file_chunk *out)
{
    struct file_range line = *range;
    int64_t size = 0;
    bool found_newline;
    int rc = file_size(range, &size, run->e);
    if (rc != 0)
        return rc;
    line.max_bytes = line_length(range->fd, range->offset, range->max_bytes, &found_newline);
    if (line.max_bytes < 0)
        return file_error_set_errno(run->e, errno, range->path);
    return read_chunk(&line, size, range->encoding == ENCODING_UTF8 && !found_newline, run, out);
}

bool file_next_line(struct str *rest, struct str *line)
{
    if (rest->len == 0)
        return false;
    const char *newline = memchr(rest->data, '\n', rest->len);
    size_t len = newline == NULL ? rest->len : (size_t)(newline - rest->data) + 1;
    *line = (struct str){rest->data, len};
    *rest = (struct str){rest->data + len, rest->len - len};
    return true;
}

/* -- writing ------------------------------------------------------------------------------------------------------- */

int file_decode(struct str data, enum encoding encoding, struct arena *arena, struct str *out, struct err *e)
{
    if (encoding == ENCODING_UTF8) {
        *out = data;
        return 0;
    }
    size_t len;
    char *bytes = arena_alloc(arena, base64_decoded_max_len(data) + 1);
    if (bytes == NULL)
        return err_nomem(e);
    if (!base64_decode(data, bytes, &len))
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "data is not base64 (RFC 4648): it must consist of A-Z a-z 0-9 + /, padded with = to a multiple "
                       "of four characters, without line breaks");
    bytes[len] = '\0';
    *out = (struct str){bytes, len};
    return 0;
}

/* After a failed write, which has written up to `end`, truncates the file to `from`; this also frees space reserved
 * beyond the end of the file. No effect if the file does not end at `end`: another process has appended to it. */
static void rollback_write(int fd, const struct stat *before, int64_t from, int64_t end)
{
    struct stat now;
    if (fstat(fd, &now) == 0 && now.st_size == end && (from < end || now.st_blocks != before->st_blocks))
        (void)!ftruncate(fd, from); /* best effort */
}

static int reserve_space(int fd, const struct stat *before, int64_t offset, size_t len, bool *reserved)
{
    *reserved = len > 0;
    if (len == 0)
        return 0;
    /* fallocate(2) with FALLOC_FL_KEEP_SIZE ignores RLIMIT_FSIZE; write(2) would fail half-way. */
    struct rlimit max_bytes;
    if (getrlimit(RLIMIT_FSIZE, &max_bytes) == 0 && max_bytes.rlim_cur != RLIM_INFINITY &&
        (uint64_t)offset + len > max_bytes.rlim_cur)
        return EFBIG;
    int result;
    do
        result = fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, (off_t)len);
    while (io_interrupted(result));
    int error = result == 0 ? 0 : errno;
    if (error == EOPNOTSUPP || error == ENOSYS) {
        *reserved = false;
        return 0;
    }
    if (error != 0)
        rollback_write(fd, before, before->st_size, before->st_size);
    return error;
}

int file_reserve(int fd, int64_t offset, size_t len, bool *reserved, struct str path, struct err *e)
{
    struct stat before;
    int error = fstat(fd, &before) == 0 ? reserve_space(fd, &before, offset, len, reserved) : errno;
    return error == 0 ? 0 : file_error_set_errno(e, error, path);
}

int file_write_at(int fd, int64_t offset, struct str bytes, struct str path, struct err *e)
{
    struct stat before;
    bool reserved;
    size_t written;
    int error = fstat(fd, &before) == 0 ? reserve_space(fd, &before, offset, bytes.len, &reserved) : errno;
    if (error != 0)
        return file_error_set_errno(e, error, path);
    error = io_pwrite_full(fd, bytes.data, bytes.len, offset, &written);
    if (error == 0)
        return 0;
    int64_t end = offset + (int64_t)written;
    rollback_write(fd, &before, before.st_size, written > 0 && end > before.st_size ? end : before.st_size);
    return file_error_set_errno(e, error, path);
}

int file_append(int fd, struct str bytes, struct str path, int64_t *size, struct err *e)
{
    struct stat stat;
    bool reserved;
    size_t written;
    int error = fstat(fd, &stat) == 0 ? reserve_space(fd, &stat, stat.st_size, bytes.len, &reserved) : errno;
    if (error != 0)
        return file_error_set_errno(e, error, path);
    error = io_write_full(fd, bytes.data, bytes.len, &written);
    if (error != 0) {
        /* Another process may have appended since fstat(); this call's bytes end at the descriptor's position. */
        int64_t end = written > 0 ? lseek(fd, 0, SEEK_CUR) : stat.st_size;
        rollback_write(fd, &stat, end - (int64_t)written, end);
        return file_error_set_errno(e, error, path);
    }
    if (fstat(fd, &stat) != 0)
        return file_error_set_errno(e, errno, path);
    *size = stat.st_size;
    return 0;
}

/* -- metadata ------------------------------------------------------------------------------------------------------ */

enum file_type file_type_of(mode_t mode)
{
    if (S_ISREG(mode))
        return FILE_TYPE_FILE;
    if (S_ISDIR(mode))
        return FILE_TYPE_DIRECTORY;
    return S_ISLNK(mode) ? FILE_TYPE_SYMLINK : FILE_TYPE_OTHER;
}

/* Microseconds since 1970. Saturates, as the times of some file systems exceed 64 bits of microseconds. */
static int64_t timespec_us(struct timespec t)
{
    int64_t us;
    if (__builtin_mul_overflow((int64_t)t.tv_sec, INT64_C(1000000), &us) ||
        __builtin_add_overflow(us, (int64_t)(t.tv_nsec / 1000), &us))
        return t.tv_sec < 0 ? -INT64_MAX : INT64_MAX;
    return us;
}

int file_stat_from(const struct stat *from, struct arena *arena, struct file_stat *out, struct err *e)
{
    char mode[8];
    struct str mode_text;
    snprintf(mode, sizeof mode, "%04o", (unsigned)from->st_mode & 07777U);
    if (!arena_str(arena, mode, strlen(mode), &mode_text))
        return err_nomem(e);
    *out = (struct file_stat){
        .type = (int)file_type_of(from->st_mode),
        .size_bytes = from->st_size,
        .mode = mode_text,
        .links = (int64_t)from->st_nlink,
        .modified_us = timespec_us(from->st_mtim),
        .changed_us = timespec_us(from->st_ctim),
        .accessed_us = timespec_us(from->st_atim),
    };
    return 0;
}
