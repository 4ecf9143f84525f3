/* resolve - looks up the addresses of a host with getaddrinfo(3), which blocks. */
#include "runtime/executors/run_context.h"
#include "runtime/lib/resolver.h"
#include "runtime/task/function.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

enum family { FAMILY_ANY, FAMILY_IPV4, FAMILY_IPV6 };
static const char *const family_names[] = {"any", "ipv4", "ipv6", NULL};

struct resolve_input {
    struct str host;
    int family; /* enum family */
};

struct resolve_output {
    struct array addresses; /* of struct str */
};

enum { ADDRESSES_MAX = 256 };

static const struct type host_type = {.kind = TYPE_STRING, .min = 1, .max = 253};
static const struct type family_type = {.kind = TYPE_ENUM, .names = family_names};
static const struct type address_type = {.kind = TYPE_STRING, .min = 2, .max = INET6_ADDRSTRLEN};
static const struct type addresses_type = {.kind = TYPE_ARRAY, .item = &address_type, .min = 1, .max = ADDRESSES_MAX};

static const struct field input_fields[] = {
    {"host", &host_type, offsetof(struct resolve_input, host), FIELD_REQUIRED, NULL,
     "A host name or an IP address, of 1 to 253 characters", "localhost"},
    {"family", &family_type, offsetof(struct resolve_input, family), FIELD_DEFAULTED, "any",
     "The address family to look up", NULL},
    {0},
};

static const struct field output_fields[] = {
    {"addresses", &addresses_type, offsetof(struct resolve_output, addresses), FIELD_REQUIRED, NULL,
     "The IP addresses, at most 256, in the order in which to try them (RFC 6724)", NULL},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct resolve_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct resolve_output)};

static bool add_address(const struct addrinfo *info, struct resolve_output *output, struct arena *arena)
{
    char text[INET6_ADDRSTRLEN];
    if (getnameinfo(info->ai_addr, info->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
        return true;
    struct str *slot = (struct str *)output->addresses.items + output->addresses.count;
    if (!arena_str(arena, text, strlen(text), slot))
        return false;
    output->addresses.count++;
    return true;
}

static int resolve_run(const void *in, void *out, struct run_context *run)
{
    static const int families[] = {[FAMILY_ANY] = AF_UNSPEC, [FAMILY_IPV4] = AF_INET, [FAMILY_IPV6] = AF_INET6};
    static const char *const adjectives[] = {[FAMILY_ANY] = "", [FAMILY_IPV4] = "IPv4 ", [FAMILY_IPV6] = "IPv6 "};
    const struct resolve_input *input = in;
    struct resolve_output *output = out;
    struct addrinfo hints = {.ai_family = families[input->family], .ai_socktype = SOCK_STREAM}, *found;
    int rc = resolver_lookup(input->host.data, NULL, &hints, &found);
    int host_len = (int)str_truncate(input->host, 160); /* leaves space for the reason in the message */
    if (rc == EAI_NONAME || rc == EAI_NODATA || rc == EAI_ADDRFAMILY)
        return err_set(run->e, ERR_HOST_NOT_FOUND, "%.*s has no %saddress: %s", host_len, input->host.data,
                       adjectives[input->family], gai_strerror(rc));
    if (rc != 0)
        return err_set(run->e, rc == EAI_MEMORY ? ERR_OUT_OF_MEMORY : ERR_RESOLVE_FAILED, "%.*s: %s", host_len,
                       input->host.data, gai_strerror(rc));
    output->addresses.items = arena_calloc(run->arena, ADDRESSES_MAX, sizeof(struct str));
    bool ok = output->addresses.items != NULL;
    for (const struct addrinfo *i = found; ok && i != NULL && output->addresses.count < ADDRESSES_MAX; i = i->ai_next)
        ok = add_address(i, output, run->arena);
    freeaddrinfo(found);
    return ok ? 0 : err_nomem(run->e);
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "address",
     .summary = "An address, which needs no name server",
     .input = JSON({"host": "127.0.0.1"}),
     .result = JSON({"addresses": ["127.0.0.1"]})},
    {.name = "name",
     .summary = "The local host, by its name",
     .input = JSON({"host": "localhost"})},
    {.name = "host_not_found",
     .summary = "A host without an address of this family",
     .input = JSON({"host": "127.0.0.1", "family": "ipv6"}),
     .error = ERR_HOST_NOT_FOUND},
    {0},
};
/* clang-format on */

static const int errors[] = {ERR_HOST_NOT_FOUND, ERR_RESOLVE_FAILED, 0};

const struct function function_resolve = {
    .name = "resolve",
    .doc = "Looks up the addresses of a host",
    .description =
        "It calls `getaddrinfo`, which follows the configuration of the system (`/etc/hosts`, DNS) and blocks its "
        "thread until the name server has answered. By default it runs on the executor `threads`.",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_THREADS,
    .executors = EXECUTOR_BIT(EXECUTOR_THREADS) | EXECUTOR_BIT(EXECUTOR_PROCESSES),
    .input = &input_type,
    .output = &output_type,
    .run = resolve_run,
};
