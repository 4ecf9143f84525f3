#include "service/config/config_help.h"

#include "handlers/json/render.h"
#include "runtime/lib/check.h"
#include "runtime/lib/decimal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum {
    COLUMN = 38,     /* where the descriptions begin */
    LINE_MOST = 100, /* columns */
    NOTE = 160,      /* bytes of what is said of a value */
};

char config_flag_spelling(char c)
{
    return c == '_' ? '-' : c;
}

char config_variable_spelling(char c)
{
    return (char)toupper((unsigned char)c);
}

int config_refuse(FILE *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("gatherd: ", err);
    vfprintf(err, format, args);
    fputc('\n', err);
    va_end(args);
    return EXIT_USAGE;
}

int config_no_memory(FILE *err)
{
    config_refuse(err, "there is no memory for the configuration");
    return EXIT_TROUBLE;
}

/* The rest of a paragraph, of which `column` columns are already there. */
static void print_words(FILE *out, const char *words, size_t column)
{
    size_t at = column;
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        bool first = at == column;
        if (!first && at + 1 + len > LINE_MOST) {
            fprintf(out, "\n%*s", COLUMN, "");
            at = column = COLUMN;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)len, words);
        at += len + !first;
        words += len + strspn(words + len, " ");
    }
    fputc('\n', out);
}

/* The flag in its column, and what it is for behind it. */
static void print_flag(FILE *out, const char *name, const char *placeholder, const char *doc)
{
    char flag[COLUMN];
    size_t len = (size_t)snprintf(flag, sizeof flag, "  --%s%s%s", name, *placeholder == '\0' ? "" : " ", placeholder);
    CHECK(len < sizeof flag - 1);
    for (size_t i = 0; i < len; i++)
        flag[i] = config_flag_spelling(flag[i]);
    fprintf(out, "%-*s", COLUMN, flag);
    print_words(out, doc, COLUMN);
}

static const char *placeholder(const struct field *field, char out[NOTE])
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
    CHECK(len < NOTE);
    for (size_t i = 0; i <= len; i++)
        out[i] = config_variable_spelling(word[i]);
    return out;
}

/* What may stand in a value; "" when that goes without saying. */
static const char *range(const struct type *type, char out[NOTE])
{
    char least[SECONDS_TEXT_SIZE], most[SECONDS_TEXT_SIZE];
    size_t len = 0;
    out[0] = '\0';
    if (type->kind == TYPE_INTEGER) {
        snprintf(out, NOTE, "%" PRId64 " to %" PRId64 "; ", type->min, type->max);
    } else if (type->kind == TYPE_SECONDS) {
        seconds_format((uint64_t)type->min, least);
        seconds_format((uint64_t)type->max, most);
        if (type->min == 1)
            snprintf(out, NOTE, "more than 0, at most %s; ", most);
        else
            snprintf(out, NOTE, "%s to %s; ", least, most);
    } else if (type->kind == TYPE_ENUM) {
        for (int i = 0; type->names[i] != NULL && len < NOTE; i++)
            len += (size_t)snprintf(out + len, NOTE - len, "%s%s", type->names[i],
                                    type->names[i + 1] == NULL ? "; " : ", ");
    } else if (type->kind == TYPE_ARRAY) {
        snprintf(out, NOTE, "may be repeated, at most %" PRId64 " in all; ", type->max);
    }
    return out;
}

void config_print_help(FILE *out, const struct config_action actions[], const struct record_ref parts[],
                       size_t part_count)
{
    char word[NOTE], note[NOTE];
    fputs("usage: gatherd [OPTION]...\n\nRuns tasks for whoever speaks HTTP, and waits for them concurrently.\n", out);
    for (size_t i = 0; i < part_count; i++) {
        fputc('\n', out);
        for (const struct field *f = parts[i].type->fields; f->name != NULL; f++) {
            print_flag(out, f->name, placeholder(f, word), f->doc);
            range(f->type, note);
            size_t len = strlen(note);
            if (f->default_text == NULL && len > 0) /* its description says what is done without it */
                note[len - strlen("; ")] = '\0';
            if (len > 0 || f->default_text != NULL)
                fprintf(out, "%*s%s%s%s\n", COLUMN, "", note, f->default_text == NULL ? "" : "default ",
                        f->default_text == NULL ? "" : f->default_text);
        }
    }
    fputc('\n', out);
    for (const struct config_action *a = actions; a->name != NULL; a++)
        print_flag(out, a->name, a->placeholder == NULL ? "" : a->placeholder, a->doc);
    fputs("\n"
          "--max-tasks N and --max-tasks=N mean the same. The environment has each option as GATHERD_MAX_TASKS\n"
          "(a list separated by commas), and the JSON file of --config (or GATHERD_CONFIG) as {\"max_tasks\": N}.\n"
          "A flag comes before the environment, and that before the file.\n",
          out);
}

bool config_print_json(FILE *out, const struct record_ref parts[], size_t part_count)
{
    struct json_writer w = {0};
    bool first = true;
    json_writer_raw(&w, "{");
    for (size_t i = 0; i < part_count; i++)
        render_members(&w, parts[i].type, parts[i].value, &first);
    json_writer_raw(&w, "}\n");
    bool whole = !w.failed;
    if (whole)
        fwrite(w.at, 1, w.len, out);
    json_writer_free(&w);
    return whole;
}
