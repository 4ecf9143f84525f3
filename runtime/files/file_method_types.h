/* file_method_types - the inputs and results of the methods of open files.
 *
 * Owns:     nothing; tables are constants.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_METHOD_TYPES_H
#define GATHERD_RUNTIME_FILES_FILE_METHOD_TYPES_H

#include "runtime/files/file_ops.h"

/* RECORDs of struct file_call. */
extern const struct type file_no_input_type, file_read_input_type, file_write_input_type, file_writelines_input_type,
    file_pread_input_type, file_pwrite_input_type, file_seek_input_type, file_truncate_input_type;

/* RECORDs of struct file_result. */
extern const struct type file_no_result_type, file_read_result_type, file_readlines_result_type, file_pread_result_type,
    file_write_result_type, file_pwrite_result_type, file_position_result_type, file_truncate_result_type;

#endif
