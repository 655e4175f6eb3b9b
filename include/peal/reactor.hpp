/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_REACTOR_HPP
#define PEAL_REACTOR_HPP
/**
 * @file
 * A reactor, and the rings that it serves, as reactor.h and group.h say.
 *
 *	peal::reactor_of<64> loop;
 *	peal::on_readable numbers(loop, ring.receiver(),
 *		[&](peal::receiver_ref<int> rx) {
 *			for (int n; rx.get(n) > 0;)
 *				sum += n;
 *		},
 *		[&](int reason) { loop.stop(); });
 *	loop.run();
 *
 * A source is added where it is made and removed where it ends: declare it
 * after the reactor and what it watches. It is linked into the reactor's lists,
 * so it cannot be moved: keep many in a std::deque, or in std::optional.
 *
 * A callback that returns nothing says done.
 */
#include <array>
#include <exception>
#include <vector>

#include <peal/group.h>
#include <peal/reactor.h>
#include <peal/ring.hpp>

namespace peal
{

/** What a ring's callback wants next, as PEAL_DONE and the like say. */
inline constexpr long done = PEAL_DONE;
inline constexpr long more = PEAL_MORE;
/** Call again when n items are there, or free. */
constexpr long wait_for(std::size_t n) noexcept
{
	return static_cast<long>(n);
}

/** A reactor whose table of slots is somebody else's, and outlives it. */
class reactor
{
      public:
	explicit reactor(span<peal_slot> slots)
	{
		detail::must(
			peal_reactor_init(&loop_, slots.data(), slots.size()),
			"peal::reactor");
	}
	/** Form B: the host watches fds for it. */
	reactor(span<peal_slot> slots, const peal_host &host)
	{
		detail::must(peal_reactor_init_hosted(&loop_, slots.data(),
						      slots.size(), &host),
			     "peal::reactor");
	}
	reactor(const reactor &) = delete;
	reactor &operator=(const reactor &) = delete;
	~reactor()
	{
		peal_reactor_close(&loop_);
	}

	/**
	 * Serve until stop(). Throws what a callback threw: where several did,
	 * the first, and what is left is thrown by the next calls, one by each,
	 * before they serve anything.
	 */
	void run()
	{
		rethrow(); /* what was thrown while it did not run, too */

		/* From a callback it is refused, and the outer one goes on. */
		bool outer = std::exchange(running_, true);
		int ret = peal_reactor_run(&loop_);

		running_ = outer;
		told(ret);
	}
	/** One iteration. @return how many callbacks; throws as run() */
	int run_once(timeout time = forever)
	{
		rethrow();
		return told(peal_reactor_run_once(&loop_, time.ms()));
	}
	/** For a loop that is not ours: serve what is ready; never blocks. */
	int dispatch()
	{
		rethrow();
		return told(peal_reactor_dispatch(&loop_));
	}
	/** For a host: serve what it has seen. */
	int process(std::uint64_t token, std::uint32_t events)
	{
		return told(peal_reactor_process(&loop_, token, events));
	}
	/** Readable when there is something to dispatch. */
	int fd() const noexcept
	{
		return peal_reactor_fd(&loop_);
	}
	/** From any thread or signal handler, as wake(). */
	void stop() noexcept
	{
		peal_reactor_stop(&loop_);
	}
	void wake() noexcept
	{
		peal_reactor_wake(&loop_);
	}
	void set_spin(std::chrono::nanoseconds most) noexcept
	{
		peal_reactor_set_spin(&loop_, detail::nanoseconds(most));
	}
	void set_timing(bool on) noexcept
	{
		peal_reactor_set_timing(&loop_, on);
	}
	struct peal_reactor_stats stats() const noexcept
	{
		struct peal_reactor_stats s;

		::peal_reactor_stats(&loop_, &s);
		return s;
	}
	peal_reactor *c() noexcept
	{
		return &loop_;
	}

	/**
	 * Call a function that C calls: an exception goes no further, but to
	 * who runs the loop. Where it throws, `otherwise` is returned.
	 */
	template <class R, class F> R guard(R otherwise, F &&call) noexcept
	{
#ifdef __cpp_exceptions
		try {
			return call();
		} catch (...) {
			keep(std::current_exception());
			if (running_)
				peal_reactor_stop(&loop_);
		}
		return otherwise;
#else
		(void)otherwise;
		return call();
#endif
	}

      private:
	void rethrow()
	{
#ifdef __cpp_exceptions
		std::exception_ptr first = std::exchange(thrown_, nullptr);

		if (!first)
			return;
		if (!others_.empty()) {
			thrown_ = others_.front();
			others_.erase(others_.begin());
			wake(); /* for it */
		}
		std::rethrow_exception(first);
#endif
	}
#ifdef __cpp_exceptions
	/* The first takes no memory, which may be what there is none of. */
	void keep(std::exception_ptr thrown)
	{
		if (thrown_)
			others_.push_back(std::move(thrown));
		else
			thrown_ = std::move(thrown);
	}
#endif
	int told(int ret)
	{
		rethrow();
		return detail::must(ret, "peal::reactor");
	}

	peal_reactor loop_{};
	bool running_ = false;
#ifdef __cpp_exceptions
	std::exception_ptr thrown_;
	std::vector<std::exception_ptr> others_; /* in order */
#endif
};

namespace detail
{

template <std::size_t N> struct slots {
	std::array<peal_slot, N> slots_{};
};

} // namespace detail

/** A reactor with slots for N sources. */
template <std::size_t N>
class reactor_of : private detail::slots<N>, public reactor
{
      public:
	reactor_of() : reactor(span<peal_slot>(this->slots_))
	{
	}
	explicit reactor_of(const peal_host &host)
	    : reactor(span<peal_slot>(this->slots_), host)
	{
	}
};

/** What all sources have in common. */
class source
{
      public:
	source(const source &) = delete;
	source &operator=(const source &) = delete;

	/** Call its callbacks no more. From any callback, too. */
	int remove() noexcept
	{
		return peal_reactor_remove(loop_->c(), &source_);
	}
	int set_band(peal_band band) noexcept
	{
		return peal_reactor_set_band(loop_->c(), &source_, band);
	}
	struct peal_source_stats stats() const noexcept
	{
		struct peal_source_stats s;

		::peal_source_stats(&source_, &s);
		return s;
	}
	peal_source *c() noexcept
	{
		return &source_;
	}

      protected:
	explicit source(reactor &loop) noexcept : loop_(&loop)
	{
	}
	~source()
	{
		peal_reactor_remove(loop_->c(), &source_);
	}

	reactor *loop_;
	peal_source source_{};
};

namespace detail
{

/* A verdict, of callables that return one and of those that do not. */
template <class F, class... A> long verdict(F &f, A &&...args)
{
	if constexpr (std::is_void_v<std::invoke_result_t<F &, A...>>) {
		f(std::forward<A>(args)...);
		return PEAL_DONE;
	} else {
		return static_cast<long>(f(std::forward<A>(args)...));
	}
}

/*
 * Call back for an object that C knows as `user`. It may be gone when the
 * callback returns; the reactor is not.
 */
template <class F> void call_back(reactor *loop, F &&call) noexcept
{
	loop->guard(0, [&] {
		call();
		return 0;
	});
}

} // namespace detail

/**
 * A receiver on a reactor.
 * @param readable  called with receiver_ref<T>, returns a verdict or nothing
 * @param closed    called with the reason, once and last
 */
template <class T, class F, class G = detail::nothing>
class on_readable : public source
{
      public:
	on_readable(reactor &loop, receiver_ref<T> rx, F readable,
		    G closed = {})
	    : source(loop), readable_(std::move(readable)),
	      closed_(std::move(closed))
	{
		peal_receiver_callbacks callbacks{};

		callbacks.on_readable = [](peal_receiver *end, void *user) {
			auto *self = static_cast<on_readable *>(user);

			return self->loop_->guard(PEAL_DONE, [&] {
				return detail::verdict(self->readable_,
						       receiver_ref<T>(end));
			});
		};
		callbacks.on_closed = [](peal_receiver *, int reason,
					 void *user) {
			auto *self = static_cast<on_readable *>(user);

			detail::call_back(self->loop_,
					  [&] { self->closed_(reason); });
		};
		callbacks.user = this;
		detail::must(peal_reactor_add_receiver(loop.c(), &source_,
						       rx.c(), &callbacks),
			     "peal::on_readable");
	}
	/** Its sender is known to be gone. */
	int hangup(int reason = -EPIPE) noexcept
	{
		return peal_reactor_hangup(loop_->c(), &source_, reason);
	}

      private:
	F readable_;
	G closed_;
};

template <class D, class T, class F>
on_readable(reactor &, const detail::receives<D, T> &, F) -> on_readable<T, F>;
template <class D, class T, class F, class G>
on_readable(reactor &, const detail::receives<D, T> &, F, G)
	-> on_readable<T, F, G>;

/** A sender on a reactor; as on_readable, with sender_ref<T>. */
template <class T, class F, class G = detail::nothing>
class on_writable : public source
{
      public:
	on_writable(reactor &loop, sender_ref<T> tx, F writable, G closed = {})
	    : source(loop), writable_(std::move(writable)),
	      closed_(std::move(closed))
	{
		peal_sender_callbacks callbacks{};

		callbacks.on_writable = [](peal_sender *end, void *user) {
			auto *self = static_cast<on_writable *>(user);

			return self->loop_->guard(PEAL_DONE, [&] {
				return detail::verdict(self->writable_,
						       sender_ref<T>(end));
			});
		};
		callbacks.on_closed = [](peal_sender *, int reason,
					 void *user) {
			auto *self = static_cast<on_writable *>(user);

			detail::call_back(self->loop_,
					  [&] { self->closed_(reason); });
		};
		callbacks.user = this;
		detail::must(peal_reactor_add_sender(loop.c(), &source_, tx.c(),
						     &callbacks),
			     "peal::on_writable");
	}
	/** Its receiver is known to be gone. */
	int hangup(int reason = -EPIPE) noexcept
	{
		return peal_reactor_hangup(loop_->c(), &source_, reason);
	}

      private:
	F writable_;
	G closed_;
};

template <class D, class T, class F>
on_writable(reactor &, const detail::sends<D, T> &, F) -> on_writable<T, F>;
template <class D, class T, class F, class G>
on_writable(reactor &, const detail::sends<D, T> &, F, G)
	-> on_writable<T, F, G>;

namespace detail
{

/* Closed after it was removed from the reactor: a base of the source's. */
template <std::size_t N> struct group_storage {
	static_assert(N >= 1 && N <= PEAL_GROUP_MOST);

	group_storage()
	{
		must(peal_group_init(&group_, &marks_, notify_args_.data(), N),
		     "peal::group");
	}
	group_storage(const group_storage &) = delete;
	group_storage &operator=(const group_storage &) = delete;
	~group_storage()
	{
		peal_group_close(&group_);
	}

	peal_group group_{};
	peal_group_marks marks_{};
	std::array<void *, N> notify_args_{};
};

} // namespace detail

/** One eventfd for up to N rings of threads, on a reactor. */
template <std::size_t N>
class group : private detail::group_storage<N>, public source
{
      public:
	explicit group(reactor &loop) : source(loop)
	{
		detail::must(peal_reactor_add_group(loop.c(), &source_,
						    &this->group_),
			     "peal::group");
	}
	/** A bell of it, for the end that waits; it must outlive the bell. */
	doorbell bell()
	{
		peal_doorbell made{};

		detail::must(peal_group_bell(&this->group_, &made),
			     "peal::group::bell");
		return doorbell(made);
	}
};

} // namespace peal
#endif
