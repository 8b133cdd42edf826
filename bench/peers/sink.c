/* A back end that takes everything and keeps nothing: what an exporter is measured against, so that only its own work counts.
 *
 * One thread, one connection at a time (an exporter has one). Each request is read whole, its documents are counted, and it is answered
 * as Elasticsearch answers a bulk request of new documents, or as InfluxDB answers a write. Plain C on purpose, none of our libraries.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX (16 << 20)
#define ANSWER_MAX  (4 << 20)

static char in[REQUEST_MAX + 1], out[ANSWER_MAX];

static size_t lines_in(const char *at, size_t n)
{
    const char *end = at + n;
    size_t found = 0;

    while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
        found++;
        at++;
    }
    return found;
}

static bool send_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        const ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        data += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* A bulk request has two lines for each document. */
static bool answer_bulk(int fd, size_t documents)
{
    static const char item[] = ",{\"create\":{\"status\":201}}", end[] = "]}";
    char head[128];
    size_t n = (size_t)sprintf(out, "{\"errors\":false,\"items\":[");

    for (size_t i = 0; i < documents; i++) {
        if (n + sizeof(item) + sizeof(end) > sizeof(out))
            return false;
        memcpy(out + n, item + (i == 0), sizeof(item) - 1 - (i == 0));
        n += sizeof(item) - 1 - (i == 0);
    }
    memcpy(out + n, end, sizeof(end) - 1);
    n += sizeof(end) - 1;
    return send_all(fd, head, (size_t)sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                                    "Content-Length: %zu\r\n\r\n", n)) &&
           send_all(fd, out, n);
}

static bool answer(int fd, const char *request, const char *body, size_t n)
{
    static const char stored[] = "HTTP/1.1 204 No Content\r\n\r\n", fine[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    if (strncmp(request, "POST", 4) != 0)
        return send_all(fd, fine, sizeof(fine) - 1);
    if (!strstr(request, "/_bulk"))
        return send_all(fd, stored, sizeof(stored) - 1);
    return answer_bulk(fd, lines_in(body, n) / 2);
}

static size_t content_length(const char *head)
{
    const char *line = strcasestr(head, "\r\nContent-Length:");

    return line ? strtoul(line + 17, NULL, 10) : 0;
}

/* One request at a time: the client waits for each answer, so nothing of a next one comes with it. */
static bool serve(int fd)
{
    size_t got = 0, length = 0;
    char *body = NULL;

    while (!body || got < (size_t)(body - in) + length) {
        const ssize_t n = got < REQUEST_MAX ? recv(fd, in + got, REQUEST_MAX - got, 0) : 0;

        if (n <= 0)
            return false;
        got += (size_t)n;
        in[got] = 0;
        if (body || !(body = strstr(in, "\r\n\r\n")))
            continue;
        *body = 0; /* so that texts are searched for in the head alone */
        length = content_length(in);
        body += 4;
    }
    return answer(fd, in, body, length);
}

int main(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd;

    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, len) < 0 || listen(listener, 16) < 0 ||
        getsockname(listener, (struct sockaddr *)&addr, &len) < 0)
        return 1;
    printf("listening http=127.0.0.1:%u\n", ntohs(addr.sin_port));
    fflush(stdout);
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        while (serve(fd))
            ;
        close(fd);
    }
    return 1;
}
