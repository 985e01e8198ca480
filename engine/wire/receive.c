/* Receive: reads bytes and descriptors that the other process sent over the
 * socket. */
#include <flotilla/engine_wire.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void take_descriptors(struct msghdr *head, int *fds, size_t fds_max, size_t *fd_count)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL; c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (*fd_count < fds_max) {
                fds[(*fd_count)++] = fd;
            } else {
                close(fd);
            }
        }
    }
}

int flo_wire_receive(int socket, struct flo_buf *in, int *fds, size_t fds_max, size_t *fd_count)
{
    static char piece[FLO_WIRE_PIECE_BYTES];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(FLO_WIRE_FDS_MAX * sizeof(int))];
    struct iovec vector = {piece, sizeof(piece)};
    struct msghdr head = {.msg_iov = &vector,
                          .msg_iovlen = 1,
                          .msg_control = control,
                          .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(socket, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    take_descriptors(&head, fds, fds_max, fd_count);
    if (n == 0) {
        return -1;
    }
    flo_buf_add(in, piece, (size_t)n);
    return in->failed ? -1 : 1;
}
