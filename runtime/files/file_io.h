/* file_io - types, reads, writes, encodings and metadata, shared by file functions and open files.
 *
 * Owns:     nothing; descriptors are the caller's, and results are in the caller's arena.
 * Threads:  any.
 * Errors:   those of file_error_set_errno(); `path` is the client's path of the file.
 * Promise:  a write that fails for lack of space changes nothing, if the file system can reserve space. Local file
 *           systems of Linux can; a copy-on-write file system such as btrfs may still lack space for the copy.
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
extern const struct type file_encoding_type;  /* ENUM: enum encoding */
extern const struct type file_read_length_type; /* INTEGER: bytes to read, from 0 to the limit max_read_bytes */
extern const struct type file_bytes_type;       /* INTEGER: a size, an offset or a count, 0 to 2^53 */
extern const struct type file_bool_type;

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
    bool to_eof; /* read to the end of the file; ERR_LIMIT_EXCEEDED if more than max_bytes are left */
    enum encoding encoding;
    struct str path; /* for errors */
};

/* The three read functions charge the bytes to the request's quota (run_reserve_read()). */

/* Reads and encodes a range. With ENCODING_UTF8, it ends between characters; unless max_bytes is 0 or the file ends, it
 * has at least one character, even if that exceeds max_bytes. ERR_INVALID_UTF8 if the bytes are not UTF-8. */
int file_read(const struct file_range *range, struct run_context *run, struct file_chunk *out);

/* As file_read(), but ends after the first newline, if that comes before the end of the range. */
int file_read_line(const struct file_range *range, struct run_context *run, struct file_chunk *out);

/* Reads max_bytes, or fewer if the file ends, without encoding them. */
int file_read_bytes(const struct file_range *range, struct run_context *run, struct str *out);

/* Encodes bytes of a file for a client. With ENCODING_UTF8, they are checked (ERR_INVALID_UTF8) and *out borrows
 * them. */
int file_encode(struct str bytes, enum encoding encoding, struct str path, struct arena *arena, struct str *out,
                struct err *e);

/* Moves the first line, newline included, from *rest to *line. False: *rest is empty. */
bool file_next_line(struct str *rest, struct str *line);

/* -- writing ------------------------------------------------------------------------------------------------------- */

/* Decodes a client's data. ERR_INVALID_ARGUMENT if it is not valid base64. With ENCODING_UTF8, *out borrows the
 * data. */
int file_decode(struct str data, enum encoding encoding, struct arena *arena, struct str *out, struct err *e);

/* Writes at `offset`; a gap before `offset` reads as zeros. Not for descriptors with O_APPEND. */
int file_write_at(int fd, int64_t offset, struct str bytes, struct str path, struct err *e);

/* Appends the bytes, contiguously even if other processes append too. The descriptor must have O_APPEND; its position
 * is undefined afterwards. *size is set to the file's new size. */
int file_append(int fd, struct str bytes, struct str path, int64_t *size, struct err *e);

/* Reserves space for `len` bytes at `offset`, without changing the file's content or size. *reserved is set to false if
 * `len` is 0 or the file system can't reserve space. */
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
    int64_t modified_us, changed_us, accessed_us; /* microseconds since 1970 */
};
extern const struct type file_stat_type; /* RECORD: struct file_stat */

/* 0, or ERR_OUT_OF_MEMORY. */
int file_stat_from(const struct stat *from, struct arena *arena, struct file_stat *out, struct err *e);

#endif
