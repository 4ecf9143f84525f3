/* file_io - shared by file functions and open files: types, reads and writes at an offset, encodings.
 *
 * Owns:     nothing; descriptors are the caller's, and results are in the caller's arena.
 * Threads:  any.
 * Errors:   those of file_error_set_errno(), about `path`, the client's name for the file.
 * Promise:  a write that fails for lack of space changes nothing, if the file system can reserve space. All local file
 *           systems of Linux can; but a copy-on-write one such as btrfs may still lack the space for its copy.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_IO_H
#define GATHERD_RUNTIME_FILES_FILE_IO_H

#include "runtime/executors/run_context.h"
#include "runtime/lib/str.h"
#include "runtime/types/type.h"

#include <sys/stat.h>

/* -- types --------------------------------------------------------------------------------------------------------- */

enum encoding {
    ENCODING_UTF8,
    ENCODING_BASE64,
};
extern const char *const file_encoding_names[]; /* "utf-8", "base64"; ends with NULL */

extern const struct type file_path_type;      /* STRING: 1 to FILE_PATH_MAX characters */
extern const struct type file_data_type;      /* STRING: data to write, in an encoding; may contain NUL, up to 1 GiB */
extern const struct type file_read_data_type; /* STRING: data that was read, in an encoding */
extern const struct type file_encoding_type;  /* ENUM */
extern const struct type file_read_length_type; /* INTEGER: bytes to read, from 0 to the limit max_read_bytes */
extern const struct type file_bytes_type;       /* INTEGER: a size, an offset, an amount: 0 to 2^53 */
extern const struct type file_bool_type;        /* BOOLEAN */

/* -- reading ------------------------------------------------------------------------------------------------------- */

struct file_chunk {
    struct str data;    /* in the requested encoding; in the arena, never absent */
    int64_t read_bytes; /* before encoding */
    int64_t size_bytes; /* of the file */
    bool eof;           /* the file ends after the data */
};

struct file_range {
    int fd;
    int64_t offset;
    int64_t max_bytes;
    bool to_eof; /* read to the end of the file; ERR_LIMIT_EXCEEDED if that is more than max_bytes */
    enum encoding encoding;
    struct str path; /* for errors */
};

/* The reads count against the request's quota (run_reserve_read()). */

/* Reads and encodes a range. In UTF-8 it ends between characters, and has at least one, even if max_bytes is smaller.
 * ERR_INVALID_UTF8 when it is not UTF-8. */
int file_read(const struct file_range *range, struct run_context *run, struct file_chunk *out);

/* The same for a line: through the first newline, but at most to the end of the file or max_bytes. */
int file_read_line(const struct file_range *range, struct run_context *run, struct file_chunk *out);

/* Reads max_bytes, fewer only at the end of the file, without encoding them. */
int file_read_bytes(const struct file_range *range, struct run_context *run, struct str *out);

/* Encodes bytes of a file for a client. UTF-8 is checked (ERR_INVALID_UTF8) and not copied. */
int file_encode(struct str bytes, enum encoding encoding, struct str path, struct arena *arena, struct str *out,
                struct err *e);

/* Removes the first line, newline included, from *rest. False when *rest is empty. */
bool file_next_line(struct str *rest, struct str *line);

/* -- writing ------------------------------------------------------------------------------------------------------- */

/* Decodes a client's data. ERR_INVALID_ARGUMENT when it is not base64. UTF-8 is not copied. */
int file_decode(struct str data, enum encoding encoding, struct arena *arena, struct str *out, struct err *e);

/* Writes at `offset`; a gap before it reads as zeros. Not for descriptors with O_APPEND. */
int file_write_at(int fd, int64_t offset, struct str bytes, struct str path, struct err *e);

/* Appends; the bytes stay together when others append too. The descriptor has O_APPEND; its position is undefined
 * afterwards. *size is the file's new size. */
int file_append(int fd, struct str bytes, struct str path, int64_t *size, struct err *e);

/* Reserves space for `len` bytes at `offset`. *reserved is false if the file system can't. Content and size never
 * change. */
int file_reserve(int fd, int64_t offset, size_t len, bool *reserved, struct str path, struct err *e);

/* -- metadata ------------------------------------------------------------------------------------------------------ */

enum file_type {
    FILE_TYPE_FILE,
    FILE_TYPE_DIRECTORY,
    FILE_TYPE_SYMLINK,
    FILE_TYPE_OTHER,
};
extern const struct type file_type_type; /* ENUM: "file", "directory", "symlink", "other" */
enum file_type file_type_of(mode_t mode);

struct file_stat {
    int type; /* enum file_type */
    int64_t size_bytes;
    struct str mode; /* "0644"; in the arena */
    int64_t links;
    int64_t modified_us, changed_us, accessed_us; /* since 1970 */
};
extern const struct type file_stat_type; /* RECORD: struct file_stat */

/* 0, or ERR_OUT_OF_MEMORY. */
int file_stat_from(const struct stat *from, struct arena *arena, struct file_stat *out, struct err *e);

#endif
