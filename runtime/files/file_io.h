/* file_io - what file functions and open files share: types, reading and writing at an offset, bytes as clients have them.
 *
 * Owns:     nothing; descriptors are the caller's, what is read lies in the caller's arena.
 * Threads:  any.
 * Errors:   those of file_error_set_errno(), with `path` (what the client calls the file) at the head of e->msg.
 * Promise:  a write that finds no space changes nothing, as far as the file system can reserve space (all local ones of
 *           Linux, but one that never writes in place, as btrfs, may still find that it has none for its copy).
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_IO_H
#define GATHERD_RUNTIME_FILES_FILE_IO_H

#include "runtime/executors/run_context.h"
#include "runtime/lib/str.h"
#include "runtime/types/type.h"

#include <sys/stat.h>

/* -- types ----------------------------------------------------------------------------------------------------------- */

enum encoding {
    ENCODING_UTF8,
    ENCODING_BASE64,
};
extern const char *const file_encoding_names[]; /* "utf-8", "base64"; ends with NULL */

extern const struct type file_path_type; /* STRING: 1 to PATH_MOST bytes */
extern const struct type file_data_type; /* STRING: what to write, as `encoding` says; may hold NULs, up to 1 GiB */
extern const struct type file_read_data_type;   /* STRING: what was read, as `encoding` says */
extern const struct type file_encoding_type;    /* ENUM */
extern const struct type file_read_length_type; /* INTEGER: bytes to read, from 0 to the limit max_read_bytes */
extern const struct type file_bytes_type;       /* INTEGER: a size, an offset, an amount: 0 to 2^53 */
extern const struct type file_bool_type;        /* BOOLEAN */

/* -- reading --------------------------------------------------------------------------------------------------------- */

struct file_chunk {
    struct str data;    /* in the encoding asked for; in the arena, never absent */
    int64_t read_bytes; /* of the file, however long `data` is */
    int64_t size_bytes; /* of the file, when it was read */
    bool eof;           /* it ends behind what was read */
};

struct file_range {
    int fd;
    int64_t offset;
    int64_t max_bytes; /* bytes */
    bool to_eof;       /* up to the end of the file: when that is more than `most`, it is ERR_LIMIT_EXCEEDED */
    enum encoding encoding;
    struct str path; /* for messages */
};

/* All of these spend what they read (run_reserve_read()). */

/* Reads a range as a client asked for it. In UTF-8 a character that the end of the range cuts is left out, but one character
 * is given in any case; what isn't UTF-8 is ERR_INVALID_UTF8. */
int file_read(const struct file_range *range, struct run_context *run, struct file_chunk *out);

/* The same for a line: up to and with the first newline, or the end of the file, or `most` bytes. */
int file_read_line(const struct file_range *range, struct run_context *run, struct file_chunk *out);

/* The bytes themselves: up to `most`, fewer only where the file ends. */
int file_read_bytes(const struct file_range *range, struct run_context *run, struct str *out);

/* Bytes of a file as a client gets them. ERR_INVALID_UTF8 when they should be UTF-8 and aren't. UTF-8 isn't copied. */
int file_encode(struct str bytes, enum encoding encoding, struct str path, struct arena *arena, struct str *out,
                struct err *e);

/* Takes the first line, newline included, off the head of *rest. False when nothing is left. */
bool file_next_line(struct str *rest, struct str *line);

/* -- writing --------------------------------------------------------------------------------------------------------- */

/* Bytes as a client gave them. ERR_INVALID when they should be base64 and aren't. UTF-8 isn't copied. */
int file_decode(struct str data, enum encoding encoding, struct arena *arena, struct str *out, struct err *e);

/* Writes all of it at `offset`; a gap that makes reads as zeros. Not for descriptors with O_APPEND. */
int file_write_at(int fd, int64_t offset, struct str bytes, struct str path, struct err *e);

/* Writes all of it where the file ends, in one piece also when others append. The descriptor has O_APPEND, and loses its
 * position. *size is the file's afterwards. */
int file_append(int fd, struct str bytes, struct str path, int64_t *size, struct err *e);

/* Sees to it that writing `len` bytes at `offset` won't fail for lack of space. *reserved is false when the file system
 * can't promise that. Content and size stay as they are, in either case and when it fails. */
int file_reserve(int fd, int64_t offset, size_t len, bool *reserved, struct str path, struct err *e);

/* -- what a file is -------------------------------------------------------------------------------------------------- */

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
extern const struct type file_stat_type; /* the RECORD of it, StatFileResult */

/* 0, or ERR_OUT_OF_MEMORY. */
int file_stat_from(const struct stat *from, struct arena *arena, struct file_stat *out, struct err *e);

#endif
