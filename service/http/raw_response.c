#include "service/http/raw_response.h"

#include "gatherd_version.h"
#include "runtime/lib/wall_clock.h"

#include <stdlib.h>
#include <sys/socket.h>

void raw_response_send(int fd, const struct response *response, struct str request_id)
{
    struct json_writer w = {0};
    /* Clients ignore the reason phrase (RFC 9112 section 4). */
    json_writer_format(&w, "HTTP/1.1 %d Refused\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
                       response->status, response->content_type, response->body_len);
    json_writer_raw(&w, "Server: " GATHERD_PRODUCT "\r\nX-Request-Id: ");
    json_writer_bytes(&w, request_id.data, request_id.len);
    for (size_t i = 0; i < response->header_count; i++)
        json_writer_format(&w, "\r\n%s: %s", response->headers[i].name, response->headers[i].value);
    json_writer_raw(&w, "\r\n\r\n");
    json_writer_bytes(&w, response->body, response->body_len);
    if (!w.failed) /* errors are ignored: the caller closes the connection */
        (void)!send(fd, w.data, w.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    json_writer_free(&w);
}

void raw_response_reject(int fd, struct api *api, const struct err *e)
{
    char id[ID_SIZE];
    api_generate_id(api, wall_clock_us(), id);
    struct response response = {0};
    response_problem(&response, str_from(id), e->rc, "%s", e->msg);
    raw_response_send(fd, &response, str_from(id));
    response_free(&response);
}
