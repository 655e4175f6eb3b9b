/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <stddef.h>

#include "calls.h"

const int call_errnos[CALLS_END][ERRNOS_MOST] = {
#define X(name, ...) [CALL_##name] = { __VA_ARGS__ },
	CALLS(X)
#undef X
};

const char *call_name(enum call call)
{
	static const char *const names[] = {
#define X(name, ...) #name,
		CALLS(X)
#undef X
	};

	return names[call];
}

/* strerrorname_np(3) is not everywhere. */
const char *errno_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
#define N(e) { e, #e }
		N(EACCES),	  N(EADDRINUSE),
		N(EADDRNOTAVAIL), N(EAFNOSUPPORT),
		N(EAGAIN),	  N(EALREADY),
		N(EBADF),	  N(EBUSY),
		N(ECANCELED),	  N(ECHILD),
		N(ECONNABORTED),  N(ECONNREFUSED),
		N(ECONNRESET),	  N(EDESTADDRREQ),
		N(EDQUOT),	  N(EEXIST),
		N(EFAULT),	  N(EFBIG),
		N(EHWPOISON),	  N(EINPROGRESS),
		N(EINTR),	  N(EINVAL),
		N(EIO),		  N(EISCONN),
		N(EISDIR),	  N(ELOOP),
		N(EMFILE),	  N(EMSGSIZE),
		N(ENAMETOOLONG),  N(ENETUNREACH),
		N(ENFILE),	  N(ENOBUFS),
		N(ENODEV),	  N(ENOENT),
		N(ENOLCK),	  N(ENOMEM),
		N(ENOPROTOOPT),	  N(ENOSPC),
		N(ENOSYS),	  N(ENOTCONN),
		N(ENOTDIR),	  N(ENOTSOCK),
		N(ENOTTY),	  N(ENXIO),
		N(EOPNOTSUPP),	  N(EOVERFLOW),
		N(EPERM),	  N(EPIPE),
		N(EPROTO),	  N(EPROTONOSUPPORT),
		N(EPROTOTYPE),	  N(EROFS),
		N(ESRCH),	  N(ETIMEDOUT),
		N(ETOOMANYREFS),  N(ETXTBSY),
		N(SHORT),
#undef N
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].error == error)
			return names[i].name;
	return "an errno without a name";
}
