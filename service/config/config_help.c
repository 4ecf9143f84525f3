#include "service/config/config_help.h"

#include "handlers/json/render.h"
#include "runtime/lib/check.h"
#include "runtime/lib/decimal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    DESCRIPTION_COLUMN = 38,
    MAX_LINE_WIDTH = 100, /* columns */
    NOTE_SIZE = 160,      /* bytes of a note, such as a range or a list of names */
};

char config_flag_char(char c)
{
    return c == '_' ? '-' : c;
}

char config_variable_char(char c)
{
    return (char)toupper((unsigned char)c);
}

int config_error(FILE *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("gatherd: ", err);
    vfprintf(err, format, args);
    fputc('\n', err);
    va_end(args);
    return EXIT_USAGE;
}

int config_out_of_memory(FILE *err)
{
    config_error(err, "out of memory");
    return EXIT_FAILURE;
}

/* Prints a paragraph that starts at `column`; further lines are indented to DESCRIPTION_COLUMN. */
static void print_wrapped(FILE *out, const char *paragraph, size_t column)
{
    size_t at = column;
    while (*paragraph != '\0') {
        size_t len = strcspn(paragraph, " ");
        bool first = at == column;
        if (!first && at + 1 + len > MAX_LINE_WIDTH) {
            fprintf(out, "\n%*s", DESCRIPTION_COLUMN, "");
            at = column = DESCRIPTION_COLUMN;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)len, paragraph);
        at += len + !first;
        paragraph += len + strspn(paragraph + len, " ");
    }
    fputc('\n', out);
}

static void print_flag(FILE *out, const char *name, const char *placeholder, const char *doc)
{
    char flag[DESCRIPTION_COLUMN];
    size_t len = (size_t)snprintf(flag, sizeof flag, "  --%s%s%s", name, *placeholder == '\0' ? "" : " ", placeholder);
    CHECK(len < sizeof flag - 1);
    for (size_t i = 0; i < len; i++)
        flag[i] = config_flag_char(flag[i]);
    fprintf(out, "%-*s", DESCRIPTION_COLUMN, flag);
    print_wrapped(out, doc, DESCRIPTION_COLUMN);
}

static const char *placeholder(const struct field *field, char out[NOTE_SIZE])
{
    const char *last_word = strrchr(field->name, '_');
    const char *word = last_word == NULL ? field->name : last_word + 1;
    const struct type *type = field->type->kind == TYPE_ARRAY ? field->type->item : field->type;
    if (type->kind == TYPE_BOOLEAN)
        word = "";
    else if (type->kind == TYPE_INTEGER && strcmp(word, "bytes") != 0)
        word = "n";
    else if (type->name != NULL)
        word = type->name;
    size_t len = strlen(word);
    CHECK(len < NOTE_SIZE);
    for (size_t i = 0; i <= len; i++)
        out[i] = config_variable_char(word[i]);
    return out;
}

/* Formats the values that a type allows, followed by "; "; "" for a type without a range. */
static const char *format_range(const struct type *type, char out[NOTE_SIZE])
{
    char min_text[SECONDS_TEXT_SIZE], max_text[SECONDS_TEXT_SIZE];
    size_t len = 0;
    out[0] = '\0';
    if (type->kind == TYPE_INTEGER) {
        snprintf(out, NOTE_SIZE, "%" PRId64 " to %" PRId64 "; ", type->min, type->max);
    } else if (type->kind == TYPE_SECONDS) {
        seconds_format((uint64_t)type->min, min_text);
        seconds_format((uint64_t)type->max, max_text);
        if (type->min == 1)
            snprintf(out, NOTE_SIZE, "more than 0, at most %s; ", max_text);
        else
            snprintf(out, NOTE_SIZE, "%s to %s; ", min_text, max_text);
    } else if (type->kind == TYPE_ENUM) {
        for (int i = 0; type->names[i] != NULL && len < NOTE_SIZE; i++)
            len += (size_t)snprintf(out + len, NOTE_SIZE - len, "%s%s", type->names[i],
                                    type->names[i + 1] == NULL ? "; " : ", ");
    } else if (type->kind == TYPE_ARRAY) {
        snprintf(out, NOTE_SIZE, "may be repeated, up to %" PRId64 " values; ", type->max);
    }
    return out;
}

void config_print_help(FILE *out, const struct config_action actions[], const struct record_ref records[],
                       size_t record_count)
{
    char word[NOTE_SIZE], note[NOTE_SIZE];
    fputs("usage: gatherd [OPTION]...\n\nRuns tasks concurrently over HTTP.\n", out);
    for (size_t i = 0; i < record_count; i++) {
        fputc('\n', out);
        for (const struct field *f = records[i].type->fields; f->name != NULL; f++) {
            print_flag(out, f->name, placeholder(f, word), f->doc);
            format_range(f->type, note);
            size_t len = strlen(note);
            if (f->default_text == NULL && len > 0) /* the description gives the default */
                note[len - strlen("; ")] = '\0';
            if (len > 0 || f->default_text != NULL)
                fprintf(out, "%*s%s%s%s\n", DESCRIPTION_COLUMN, "", note, f->default_text == NULL ? "" : "default ",
                        f->default_text == NULL ? "" : f->default_text);
        }
    }
    fputc('\n', out);
    for (const struct config_action *a = actions; a->name != NULL; a++)
        print_flag(out, a->name, a->placeholder == NULL ? "" : a->placeholder, a->doc);
    fputs("\n"
          "--max-tasks N can be written --max-tasks=N. Each option above --config can also be set by an\n"
          "environment variable (GATHERD_MAX_TASKS=N; lists are comma-separated) or in the JSON file named by\n"
          "--config or GATHERD_CONFIG ({\"max_tasks\": N}). Flags override variables, which override the file.\n",
          out);
}

bool config_print_json(FILE *out, const struct record_ref records[], size_t record_count)
{
    struct json_writer w = {0};
    bool first = true;
    json_writer_raw(&w, "{");
    for (size_t i = 0; i < record_count; i++)
        render_members(&w, records[i].type, records[i].value, &first);
    json_writer_raw(&w, "}\n");
    bool complete = !w.failed;
    if (complete)
        fwrite(w.data, 1, w.len, out);
    json_writer_free(&w);
    return complete;
}
