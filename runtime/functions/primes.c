/* primes - counts the primes of a range with a segmented sieve of Eratosthenes over the odd numbers. */
#include "runtime/executors/run_context.h"
#include "runtime/task/function.h"

#include <string.h>

struct primes_input {
    int64_t to, from;
};

struct primes_output {
    int64_t count;
    struct array parts; /* of struct task *; absent unless the call was split */
};

static const struct type bound_type = {.kind = TYPE_INTEGER, .min = 0, .max = INT64_C(1000000000000000)};
static const struct type count_type = {.kind = TYPE_INTEGER, .min = 0, .max = INT64_C(1000000000000000)};

static const struct field input_fields[] = {
    {"to", &bound_type, offsetof(struct primes_input, to), FIELD_REQUIRED, NULL,
     "The end of the range, exclusive, from 0 to 10^15", "10000000"},
    {"from", &bound_type, offsetof(struct primes_input, from), FIELD_DEFAULTED, "0",
     "The start of the range, inclusive, from 0 to 10^15", NULL},
    {0},
};

static const struct field output_fields[] = {
    {"count", &count_type, offsetof(struct primes_output, count), FIELD_REQUIRED, NULL,
     "The number of primes in the range", "664579"},
    {"parts", &function_parts_type, offsetof(struct primes_output, parts), FIELD_OPTIONAL, NULL, FUNCTION_PARTS_DOC,
     NULL},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct primes_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct primes_output)};

enum { SEGMENT_LEN = 32 * 1024 }; /* odd numbers sieved at a time, one byte each: the segment fits a level 1 cache */

static int set_canceled(struct err *e)
{
    return err_set(e, ERR_CANCELED, "The task was canceled");
}

static int64_t isqrt(int64_t n)
{
    int64_t low = 0, high = INT64_C(1) << 26; /* 2^52 exceeds the maximum of bound_type */
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (middle * middle <= n)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* The odd primes up to the square root of the range's end, and for each the next multiple to mark. The index of an odd
 * number n is n / 2. */
struct base_primes {
    uint32_t *primes;
    uint64_t *next; /* index of the next odd multiple of each prime */
    size_t count;
};

/* 0, ERR_OUT_OF_MEMORY or ERR_CANCELED: for large bounds this takes as long as many segments. */
static int base_primes_init(struct base_primes *base_primes, int64_t max, struct run_context *run)
{
    size_t odds = (size_t)(max + 1) / 2; /* composite[i] belongs to the number 2i + 1 */
    char *composite = arena_alloc(run->arena, odds + 1);
    if (composite == NULL)
        return err_nomem(run->e);
    size_t count = 0;
    for (size_t i = 1; i < odds; i++) {
        if (composite[i])
            continue;
        if (run_canceled(run))
            return set_canceled(run->e);
        count++;
        for (size_t j = 2 * i * (i + 1); j < odds; j += 2 * i + 1)
            composite[j] = 1;
    }
    base_primes->primes = arena_calloc(run->arena, count + 1, sizeof *base_primes->primes);
    base_primes->next = arena_calloc(run->arena, count + 1, sizeof *base_primes->next);
    if (base_primes->primes == NULL || base_primes->next == NULL)
        return err_nomem(run->e);
    base_primes->count = 0;
    for (size_t i = 1; i < odds; i++) {
        if (composite[i])
            continue;
        if (run_canceled(run))
            return set_canceled(run->e);
        base_primes->primes[base_primes->count++] = (uint32_t)(2 * i + 1);
    }
    return 0;
}

/* Positions each prime at its first odd multiple that is at least `from` and at least the prime's square. 0, or
 * ERR_CANCELED. */
static int base_primes_seek(struct base_primes *base_primes, uint64_t from, const struct run_context *run)
{
    for (size_t i = 0; i < base_primes->count; i++) {
        if (run_canceled(run))
            return set_canceled(run->e);
        uint64_t p = base_primes->primes[i], first = (from + p - 1) / p * p;
        if (first < p * p)
            first = p * p;
        if (first % 2 == 0)
            first += p;
        base_primes->next[i] = first / 2;
    }
    return 0;
}

/* Counts the primes among the odd numbers with an index from `low` to `high` - 1, at most SEGMENT_LEN numbers. */
static int64_t sieve_segment(struct base_primes *base_primes, char *composite, uint64_t low, uint64_t high)
{
    memset(composite, 0, high - low);
    for (size_t i = 0; i < base_primes->count; i++) {
        uint64_t p = base_primes->primes[i], multiple = base_primes->next[i];
        if (p * p / 2 >= high)
            break; /* this prime and larger ones have no multiple to mark in this segment */
        for (; multiple < high; multiple += p)
            composite[multiple - low] = 1;
        base_primes->next[i] = multiple;
    }
    int64_t count = 0;
    for (uint64_t i = 0; i < high - low; i++)
        count += !composite[i];
    return count;
}

static int primes_run(const void *in, void *out, struct run_context *run)
{
    const struct primes_input *input = in;
    struct primes_output *output = out;
    type_set_absent(&function_parts_type, &output->parts);
    output->count = input->from <= 2 && input->to > 2;
    uint64_t low = (uint64_t)(input->from < 3 ? 3 : input->from) / 2; /* the index of the first odd number */
    uint64_t high = (uint64_t)input->to / 2;
    if (input->to <= 3 || low >= high)
        return 0;

    struct base_primes base_primes = {0};
    char *composite = arena_alloc(run->arena, SEGMENT_LEN);
    if (composite == NULL)
        return err_nomem(run->e);
    int rc = base_primes_init(&base_primes, isqrt(input->to), run);
    if (rc == 0)
        rc = base_primes_seek(&base_primes, 2 * low + 1, run);
    if (rc != 0)
        return rc;
    for (; low < high; low += SEGMENT_LEN) {
        output->count +=
            sieve_segment(&base_primes, composite, low, high - low < SEGMENT_LEN ? high : low + SEGMENT_LEN);
        if (run_canceled(run))
            return set_canceled(run->e);
    }
    return 0;
}

static int64_t primes_split(const void *in, int64_t max, int64_t index, void *part)
{
    const struct primes_input *input = in;
    struct primes_input *output = part;
    return parallel_split_range(input->from, input->to, max, index, &output->from, &output->to);
}

static int primes_merge(void *out, const void *part, struct err *e)
{
    (void)e;
    ((struct primes_output *)out)->count += ((const struct primes_output *)part)->count;
    return 0;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "hundred",
     .summary = "The primes below a hundred",
     .input = JSON({"to": 100}),
     .result = JSON({"count": 25})},
    {.name = "ten_million",
     .summary = "The primes below ten million",
     .input = JSON({"to": 10000000}),
     .result = JSON({"count": 664579})},
    {.name = "window",
     .summary = "A range with a start",
     .input = JSON({"from": 1000000000000, "to": 1000000010000}),
     .result = JSON({"count": 335})},
    {.name = "parallel",
     .summary = "A range divided into two parts",
     .input = JSON({"to": 1000000}),
     .query = "parallel=2"},
    {0},
};
/* clang-format on */

const struct function function_primes = {
    .name = "primes",
    .doc = "Counts the primes of a range",
    .description =
        "It uses a sieve of Eratosthenes. By default it runs in a worker process. " FUNCTION_PARALLEL_DESCRIPTION,
    .examples = examples,
    .executor = EXECUTOR_PROCESSES,
    .executors = EXECUTOR_BIT(EXECUTOR_THREADS) | EXECUTOR_BIT(EXECUTOR_PROCESSES),
    .input = &input_type,
    .output = &output_type,
    .run = primes_run,
    .split = primes_split,
    .merge = primes_merge,
    .parts_offset = offsetof(struct primes_output, parts),
};
