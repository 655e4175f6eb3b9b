/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_SOURCES_HPP
#define PEAL_SOURCES_HPP
/**
 * @file
 * What a reactor watches besides rings, as sources.h says.
 *
 *	peal::on_signal term(loop, SIGTERM, [&](auto &) { loop.stop(); });
 *	peal::timer tick(loop, [&] { std::puts("tick"); });
 *
 *	tick.set(1s, 1s);
 */
#include <sys/epoll.h>

#include <peal/reactor.hpp>
#include <peal/sources.h>

namespace peal
{

namespace detail
{

/* A callable that may leave out what it has no use for. */
template <class F, class... A> void call_with(F &f, A &&...args)
{
	if constexpr (std::is_invocable_v<F &, A...>)
		f(std::forward<A>(args)...);
	else
		f();
}

} // namespace detail

/**
 * An fd; borrowed, remove the source before you close it.
 * @param f  called with the fd and the events
 */
template <class F> class on_event : public source
{
      public:
	on_event(reactor &loop, int fd, std::uint32_t events, F f)
	    : source(loop), f_(std::move(f))
	{
		auto call = [](peal_source *, int ready, std::uint32_t seen,
			       void *user) {
			auto *self = static_cast<on_event *>(user);

			detail::call_back(self->loop_, [&] {
				detail::call_with(self->f_, ready, seen);
			});
		};

		detail::must(peal_reactor_add_fd(loop.c(), &source_, fd, events,
						 call, this),
			     "peal::on_event");
	}
	int set_events(std::uint32_t events) noexcept
	{
		return peal_reactor_set_events(loop_->c(), &source_, events);
	}

      private:
	F f_;
};

/** @param f  called with the number of periods that have ended, or nothing */
template <class F> class timer : public source
{
      public:
	timer(reactor &loop, F f) : source(loop), f_(std::move(f))
	{
		auto call = [](peal_source *, std::uint64_t n, void *user) {
			auto *self = static_cast<timer *>(user);

			detail::call_back(self->loop_, [&] {
				detail::call_with(self->f_, n);
			});
		};

		detail::must(
			peal_reactor_add_timer(loop.c(), &source_, call, this),
			"peal::timer");
	}
	/** From now; without a period once. */
	int set(std::chrono::nanoseconds first,
		std::chrono::nanoseconds period = {}) noexcept
	{
		return peal_reactor_set_timer(loop_->c(), &source_,
					      detail::nanoseconds(first),
					      detail::nanoseconds(period), 0);
	}
	int set_at(std::chrono::steady_clock::time_point first,
		   std::chrono::nanoseconds period = {}) noexcept
	{
		return peal_reactor_set_timer(
			loop_->c(), &source_,
			detail::nanoseconds(first.time_since_epoch()),
			detail::nanoseconds(period), PEAL_TIMER_ABSOLUTE);
	}
	int cancel() noexcept
	{
		return peal_reactor_cancel_timer(loop_->c(), &source_);
	}

      private:
	F f_;
};

/** A function that is called in the loop's thread after each defer(). */
template <class F> class deferred : public source
{
      public:
	deferred(reactor &loop, F f) : source(loop), f_(std::move(f))
	{
		auto call = [](peal_source *, void *user) {
			auto *self = static_cast<deferred *>(user);

			detail::call_back(self->loop_, [&] { self->f_(); });
		};

		detail::must(peal_reactor_add_deferred(loop.c(), &source_, call,
						       this),
			     "peal::deferred");
	}
	/** From any thread or signal handler. @return 0, or it was removed */
	int defer() noexcept
	{
		return peal_reactor_defer(loop_->c(), &source_);
	}

      private:
	F f_;
};

/** @param f  called with const signalfd_siginfo &, or nothing */
template <class F> class on_signal : public source
{
      public:
	on_signal(reactor &loop, int number, F f)
	    : source(loop), f_(std::move(f))
	{
		auto call = [](peal_source *, const signalfd_siginfo *info,
			       void *user) {
			auto *self = static_cast<on_signal *>(user);

			detail::call_back(self->loop_, [&] {
				detail::call_with(self->f_, *info);
			});
		};

		detail::must(peal_reactor_add_signal(loop.c(), &source_, number,
						     call, this),
			     "peal::on_signal");
	}

      private:
	F f_;
};

/** @param f  called once, with const peal_exit &, or nothing */
template <class F> class on_child : public source
{
      public:
	on_child(reactor &loop, pid_t pid, F f) : source(loop), f_(std::move(f))
	{
		auto call = [](peal_source *, const peal_exit *how,
			       void *user) {
			auto *self = static_cast<on_child *>(user);

			detail::call_back(self->loop_, [&] {
				detail::call_with(self->f_, *how);
			});
		};

		detail::must(peal_reactor_add_child(loop.c(), &source_, pid,
						    call, this),
			     "peal::on_child");
	}

      private:
	F f_;
};

/** N messages on their way from other threads: see make_queue(). */
template <class T, std::size_t N, class F> class queue : public source
{
	static_assert(N >= 2 && (N & (N - 1)) == 0, "a power of two");

      public:
	queue(reactor &loop, F f) : source(loop), f_(std::move(f))
	{
		auto call = [](peal_source *, void *message, void *user) {
			auto *self = static_cast<queue *>(user);

			detail::call_back(self->loop_, [&] {
				self->f_(static_cast<T *>(message));
			});
		};

		detail::must(peal_reactor_add_queue(loop.c(), &source_,
						    cells_.data(), N, call,
						    this),
			     "peal::queue");
	}
	/** From any thread or signal handler. @return 0 or -EAGAIN: full */
	int post(T *message) noexcept
	{
		return peal_reactor_post(loop_->c(), &source_, message);
	}

      private:
	std::array<peal_post, N> cells_{};
	F f_;
};

/** auto jobs = peal::make_queue<job, 64>(loop, [](job *j) { ... }); */
template <class T, std::size_t N, class F>
queue<T, N, F> make_queue(reactor &loop, F f)
{
	return queue<T, N, F>(loop, std::move(f));
}

} // namespace peal
#endif
