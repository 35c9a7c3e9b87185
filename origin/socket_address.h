/* socket_address: "ADDRESS:PORT" and "[IPv6 ADDRESS]:PORT" as the kernel wants them. */
#ifndef LOCKSTEP_ORIGIN_SOCKET_ADDRESS_H
#define LOCKSTEP_ORIGIN_SOCKET_ADDRESS_H

struct sockaddr_storage;

/* Read numbers, no name; port 1 to 65535. -1 for anything else. */
int socket_address_read(const char *text, struct sockaddr_storage *address);

/* Bytes of what socket_address_read made. */
unsigned socket_address_size(const struct sockaddr_storage *address);

#endif
