#include "runtime/files/file_method_types.h"

#define RESULT_OFFSET(member) offsetof(struct file_result, member)
#define ARG_DATA_FIELD \
    { \
        "data", &file_data_type, FILE_CALL_OFFSET(data), FIELD_REQUIRED, NULL, \
            "The data to write, in the encoding of the file", "aio file" \
    }
#define OFFSET_DOC "The offset from the start of the file, in bytes"
#define RESULT_DATA_FIELD \
    { \
        "data", &file_read_data_type, RESULT_OFFSET(data), FIELD_REQUIRED, NULL, \
            "The data, in the encoding of the file; empty at the end of the file", "aio file" \
    }
#define RESULT_READ_BYTES_FIELD \
    { \
        "read_bytes", &file_bytes_type, RESULT_OFFSET(read_bytes), FIELD_REQUIRED, NULL, "The number of bytes read", \
            "8" \
    }
#define RESULT_EOF_FIELD \
    { \
        "eof", &file_bool_type, RESULT_OFFSET(eof), FIELD_REQUIRED, NULL, "Whether the file ends after the data", \
            "true" \
    }
#define RESULT_POSITION_FIELD \
    { \
        "position", &file_bytes_type, RESULT_OFFSET(position), FIELD_REQUIRED, NULL, \
            "The offset of the next read or write, in bytes from the start of the file", "8" \
    }
#define RESULT_WRITTEN_BYTES_FIELD \
    { \
        "written_bytes", &file_bytes_type, RESULT_OFFSET(written_bytes), FIELD_REQUIRED, NULL, \
            "The number of bytes written: all of them", "8" \
    }
#define TYPE(id, struct_name, label) \
    const struct type file_##id##_type = { \
        .kind = TYPE_RECORD, .name = (label), .fields = id##_fields, .size = sizeof(struct struct_name)}

static const struct field no_fields[] = {{0}};
const struct type file_no_input_type = {.kind = TYPE_RECORD,
                                        .name = "FileNoInput",
                                        .doc = "The input of a method without arguments.",
                                        .fields = no_fields,
                                        .size = sizeof(struct file_call)};
const struct type file_no_result_type = {.kind = TYPE_RECORD,
                                         .name = "FileNoResult",
                                         .doc = "The result of a method that returns nothing.",
                                         .fields = no_fields,
                                         .size = sizeof(struct file_result)};
static const struct field read_input_fields[] = {
    {"length", &file_read_length_type, FILE_CALL_OFFSET(length), FIELD_OPTIONAL, NULL,
     "The maximum number of bytes, but at least one character in utf-8; absent: to the end of the file or line", "8"},
    {0},
};
TYPE(read_input, file_call, "FileReadInput");
static const struct field write_input_fields[] = {
    ARG_DATA_FIELD,
    {0},
};
TYPE(write_input, file_call, "FileWriteInput");
static const struct field writelines_input_fields[] = {
    {"lines", &file_lines_type, FILE_CALL_OFFSET(lines), FIELD_REQUIRED, NULL,
     "The lines to write; no newlines are added", NULL},
    {0},
};
TYPE(writelines_input, file_call, "FileWritelinesInput");
static const struct field pread_input_fields[] = {
    {"offset", &file_bytes_type, FILE_CALL_OFFSET(offset), FIELD_REQUIRED, NULL, OFFSET_DOC, "0"},
    {"length", &file_read_length_type, FILE_CALL_OFFSET(length), FIELD_REQUIRED, NULL,
     "The maximum number of bytes, but at least one character in utf-8", "8"},
    {0},
};
TYPE(pread_input, file_call, "FilePreadInput");
static const struct field pwrite_input_fields[] = {
    {"offset", &file_bytes_type, FILE_CALL_OFFSET(offset), FIELD_REQUIRED, NULL, OFFSET_DOC, "0"},
    ARG_DATA_FIELD,
    {0},
};
TYPE(pwrite_input, file_call, "FilePwriteInput");
static const struct field seek_input_fields[] = {
    {"offset", &file_seek_offset_type, FILE_CALL_OFFSET(offset), FIELD_REQUIRED, NULL,
     "The offset from `whence`, in bytes; may be negative", "0"},
    {"whence", &file_whence_type, FILE_CALL_OFFSET(whence), FIELD_DEFAULTED, "start", "The origin of the offset", NULL},
    {0},
};
TYPE(seek_input, file_call, "FileSeekInput");
static const struct field truncate_input_fields[] = {
    {"size", &file_bytes_type, FILE_CALL_OFFSET(size), FIELD_OPTIONAL, NULL,
     "The new size in bytes; absent: the position", "0"},
    {0},
};
TYPE(truncate_input, file_call, "FileTruncateInput");

static const struct field read_result_fields[] = {
    RESULT_DATA_FIELD, RESULT_READ_BYTES_FIELD, RESULT_POSITION_FIELD, RESULT_EOF_FIELD, {0},
};
TYPE(read_result, file_result, "FileReadResult");
static const struct field readlines_result_fields[] = {
    {"lines", &file_lines_type, RESULT_OFFSET(lines), FIELD_REQUIRED, NULL, "The remaining lines, with their newlines",
     NULL},
    RESULT_READ_BYTES_FIELD,
    RESULT_POSITION_FIELD,
    RESULT_EOF_FIELD,
    {0},
};
TYPE(readlines_result, file_result, "FileReadlinesResult");
static const struct field pread_result_fields[] = {
    RESULT_DATA_FIELD,
    RESULT_READ_BYTES_FIELD,
    RESULT_EOF_FIELD,
    {0},
};
TYPE(pread_result, file_result, "FilePreadResult");
static const struct field write_result_fields[] = {
    RESULT_WRITTEN_BYTES_FIELD,
    RESULT_POSITION_FIELD,
    {0},
};
TYPE(write_result, file_result, "FileWriteResult");
static const struct field pwrite_result_fields[] = {
    RESULT_WRITTEN_BYTES_FIELD,
    {0},
};
TYPE(pwrite_result, file_result, "FilePwriteResult");
static const struct field position_result_fields[] = {
    RESULT_POSITION_FIELD,
    {0},
};
TYPE(position_result, file_result, "FilePositionResult");
static const struct field truncate_result_fields[] = {
    {"size_bytes", &file_bytes_type, RESULT_OFFSET(size_bytes), FIELD_REQUIRED, NULL,
     "The new size of the file in bytes", "8"},
    {0},
};
TYPE(truncate_result, file_result, "FileTruncateResult");
