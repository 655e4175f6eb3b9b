/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_FAULTS_CALLS_H
#define PEAL_FAULTS_CALLS_H
/*
 * The system calls that the library makes, and what each of them can say: the
 * errnos of its man page, but for those that need another way to name a file
 * than the library has. Where what is asked for is an argument (fcntl(2),
 * epoll_ctl(2), syscall(2)), each kind is a call of its own.
 *
 * SHORT is not an errno: fewer bytes, or events, than there are.
 */
#define SHORT 10000

#define FILE_ERRNOS EACCES, EFAULT, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR

#define SEND_ERRNOS                                                            \
	EACCES, EAGAIN, EALREADY, EBADF, ECONNREFUSED, ECONNRESET,             \
		EDESTADDRREQ, EFAULT, EINTR, EINVAL, EISCONN, EMSGSIZE,        \
		ENOBUFS, ENOMEM, ENOTCONN, ENOTSOCK, EOPNOTSUPP, EPIPE

#define CALLS(X)                                                               \
	X(accept4, EAGAIN, EBADF, ECONNABORTED, EFAULT, EINTR, EINVAL, EMFILE, \
	  ENFILE, ENOBUFS, ENOMEM, ENOTSOCK, EOPNOTSUPP, EPERM, EPROTO)        \
	X(bind, FILE_ERRNOS, EADDRINUSE, EADDRNOTAVAIL, EBADF, EINVAL,         \
	  ENOTSOCK, EROFS)                                                     \
	X(chmod, FILE_ERRNOS, EIO, EPERM, EROFS)                               \
	X(close, EBADF, EDQUOT, EINTR, EIO, ENOSPC)                            \
	X(connect, EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN,    \
	  EALREADY, EBADF, ECONNREFUSED, EFAULT, EINPROGRESS, EINTR, EISCONN,  \
	  ENETUNREACH, ENOENT, ENOTSOCK, EPERM, EPROTOTYPE, ETIMEDOUT)         \
	X(epoll_create1, EINVAL, EMFILE, ENFILE, ENOMEM)                       \
	X(epoll_ctl_ADD, EBADF, EEXIST, EINVAL, ELOOP, ENOMEM, ENOSPC, EPERM)  \
	X(epoll_ctl_MOD, EBADF, EINVAL, ENOENT, ENOMEM, EPERM)                 \
	X(epoll_ctl_DEL, EBADF, EINVAL, ENOENT, ENOMEM, EPERM)                 \
	X(epoll_wait, EBADF, EFAULT, EINTR, EINVAL, SHORT)                     \
	X(eventfd, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM)                     \
	X(fchmod, EBADF, EIO, EPERM, EROFS)                                    \
	X(fchmodat, FILE_ERRNOS, EBADF, EINVAL, EIO, EOPNOTSUPP, EPERM, EROFS) \
	X(fchmodat2, FILE_ERRNOS, EBADF, EINVAL, EIO, ENOSYS, EOPNOTSUPP,      \
	  EPERM, EROFS)                                                        \
	X(fchownat, FILE_ERRNOS, EBADF, EINVAL, EIO, EPERM, EROFS)             \
	X(fcntl_ADD_SEALS, EBADF, EBUSY, EINVAL, EPERM)                        \
	X(fcntl_DUPFD_CLOEXEC, EBADF, EINVAL, EMFILE)                          \
	X(fcntl_GETFD, EBADF)                                                  \
	X(fcntl_GETFL, EBADF)                                                  \
	X(fcntl_GET_SEALS, EBADF, EINVAL)                                      \
	X(fcntl_SETFD, EBADF)                                                  \
	X(fcntl_SETFL, EBADF, EPERM)                                           \
	X(flock, EBADF, EINTR, EINVAL, ENOLCK, EWOULDBLOCK)                    \
	X(fstat, EACCES, EBADF, EFAULT, ENOMEM, EOVERFLOW)                     \
	X(fstatat, FILE_ERRNOS, EBADF, EINVAL, EOVERFLOW)                      \
	X(fstatfs, EACCES, EBADF, EFAULT, EINTR, EIO, ENOMEM, ENOSYS,          \
	  EOVERFLOW)                                                           \
	X(ftruncate, EBADF, EFBIG, EINTR, EINVAL, EIO, EPERM, ETXTBSY)         \
	X(getsockopt, EBADF, EFAULT, EINVAL, ENOPROTOOPT, ENOTSOCK)            \
	X(ioctl, EBADF, EFAULT, EINVAL, ENOTTY)                                \
	X(listen, EADDRINUSE, EBADF, ENOTSOCK, EOPNOTSUPP)                     \
	X(lstat, FILE_ERRNOS, EOVERFLOW)                                       \
	X(madvise, EACCES, EAGAIN, EBADF, EBUSY, EFAULT, EHWPOISON, EINVAL,    \
	  EIO, ENOMEM, EPERM)                                                  \
	X(membarrier, EINVAL, ENOSYS, EPERM)                                   \
	X(memfd_create, EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM)                \
	X(mlock, EAGAIN, EINVAL, ENOMEM, EPERM)                                \
	X(mmap, EACCES, EAGAIN, EBADF, EEXIST, EINVAL, ENFILE, ENODEV, ENOMEM, \
	  EOVERFLOW, EPERM, ETXTBSY)                                           \
	X(munmap, EINVAL, ENOMEM)                                              \
	X(nanosleep, EFAULT, EINTR, EINVAL)                                    \
	X(open, FILE_ERRNOS, EBUSY, EDQUOT, EEXIST, EFBIG, EINTR, EINVAL,      \
	  EISDIR, EMFILE, ENFILE, ENODEV, ENOSPC, ENXIO, EOPNOTSUPP,           \
	  EOVERFLOW, EPERM, EROFS, ETXTBSY, EWOULDBLOCK)                       \
	X(pidfd_open, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM, ESRCH)           \
	X(pipe2, EFAULT, EINVAL, EMFILE, ENFILE)                               \
	X(poll, EFAULT, EINTR, EINVAL, ENOMEM)                                 \
	X(ppoll, EFAULT, EINTR, EINVAL, ENOMEM)                                \
	X(preadv2, EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR,          \
	  EOPNOTSUPP, SHORT)                                                   \
	X(read, EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR)             \
	X(readlink, FILE_ERRNOS, EINVAL, EIO, SHORT)                           \
	X(recvmsg, EAGAIN, EBADF, ECONNREFUSED, ECONNRESET, EFAULT, EINTR,     \
	  EINVAL, ENOMEM, ENOTCONN, ENOTSOCK, SHORT)                           \
	X(sched_getaffinity, EFAULT, EINVAL, EPERM, ESRCH)                     \
	X(send, SEND_ERRNOS)                                                   \
	X(sendmsg, SEND_ERRNOS, ETOOMANYREFS, SHORT)                           \
	X(setsockopt, EBADF, EFAULT, EINVAL, ENOPROTOOPT, ENOTSOCK)            \
	X(shutdown, EBADF, EINVAL, ENOTCONN, ENOTSOCK)                         \
	X(signalfd, EBADF, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM)             \
	X(sigtimedwait, EINTR)                                                 \
	X(socket, EACCES, EAFNOSUPPORT, EINVAL, EMFILE, ENFILE, ENOBUFS,       \
	  ENOMEM, EPROTONOSUPPORT)                                             \
	X(timerfd_create, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM, EPERM)       \
	X(timerfd_settime, EBADF, ECANCELED, EFAULT, EINVAL)                   \
	X(unlink, FILE_ERRNOS, EBUSY, EIO, EISDIR, EPERM, EROFS)               \
	X(waitid, EAGAIN, ECHILD, EINVAL, ESRCH)                               \
	X(write, EAGAIN, EBADF, EDESTADDRREQ, EDQUOT, EFAULT, EFBIG, EINTR,    \
	  EINVAL, EIO, ENOSPC, EPERM, EPIPE, SHORT)

enum call {
#define X(name, ...) CALL_##name,
	CALLS(X)
#undef X
	CALLS_END
};

#define ERRNOS_MOST 32

/* Of each call; 0 ends them. */
extern const int call_errnos[CALLS_END][ERRNOS_MOST];
const char *call_name(enum call call);
const char *errno_name(int error);

#endif
