#include "origin/socket_address.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <uv.h>

int socket_address_read(const char *text, struct sockaddr_storage *address)
{
    const char *colon = strrchr(text, ':');
    char host[64] = "";
    char *end = NULL;
    size_t len;
    long port;

    port = colon != NULL ? strtol(colon + 1, &end, 10) : 0;
    len = colon != NULL ? (size_t)(colon - text) : 0;
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']' && len - 2 < sizeof(host))
        snprintf(host, sizeof(host), "%.*s", (int)len - 2, text + 1);
    else if (len < sizeof(host))
        snprintf(host, sizeof(host), "%.*s", (int)len, text);
    if (end == NULL || *end != '\0' || port < 1 || port > 65535)
        return -1;
    memset(address, 0, sizeof(*address));
    if (uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)address) == 0 ||
        uv_ip4_addr(host, (int)port, (struct sockaddr_in *)address) == 0)
        return 0;
    return -1;
}

unsigned socket_address_size(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}
