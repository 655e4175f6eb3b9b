/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_SERVER_HPP
#define PEAL_SERVER_HPP
/**
 * @file
 * Channels on a reactor, as channel.h says: servers, and clients that are
 * called back.
 *
 *	// receives doubles, sends nothing, eight clients at the most
 *	peal::reactor_of<PEAL_SERVER_SLOTS(8)> loop;
 *	auto server = peal::serve<8, double>(loop, "./sum",
 *		peal::receiving{ [&](auto ch) {
 *			for (double x; ch.receiver().get(x) > 0;)
 *				sum += x;
 *		} });
 *	loop.run();
 *
 * A handler is any object with some of these members, which are functions or
 * callables; `ch` is a channel_ref<Send, Receive>:
 *
 *	on_open(ch)  on_readable(ch)  on_writable(ch)  on_ended(ch)
 *	on_closed(ch, reason)
 *
 * A server's may have these, too; why is to be set to a text:
 *
 *	bool admit(const peal_hello &, const peal_peer &, const char *&why)
 *	on_refused(const peal_peer &, int reason, const char *text)
 */
#include <array>

#include <peal/channel.hpp>
#include <peal/reactor.hpp>

namespace peal
{

namespace detail
{

/* Has it a member of this name that can be called so? */
#define PEAL_HPP_MEMBER(name)                                                  \
	template <class H, class... A>                                         \
	auto find_##name(int)->decltype((void)std::declval<H &>().name(        \
						std::declval<A>()...),         \
					std::true_type());                     \
	template <class H, class... A> std::false_type find_##name(long);      \
	template <class H, class... A>                                         \
	inline constexpr bool has_##name =                                     \
		decltype(find_##name<H, A...>(0))::value;
PEAL_HPP_MEMBER(on_open)
PEAL_HPP_MEMBER(on_readable)
PEAL_HPP_MEMBER(on_writable)
PEAL_HPP_MEMBER(on_ended)
PEAL_HPP_MEMBER(on_closed)
PEAL_HPP_MEMBER(on_refused)
PEAL_HPP_MEMBER(admit)
#undef PEAL_HPP_MEMBER

/* A handler and its reactor, which is what C's `user` is. */
template <class Send, class Receive, class H> struct handled {
	using ref = channel_ref<Send, Receive>;

	handled(reactor &loop, H &&h) : loop_(&loop), h_(std::move(h))
	{
		static_assert(std::is_void_v<Receive> ||
				      has_on_readable<H, ref>,
			      "the handler has no on_readable(ch)");
	}
	handled(const handled &) = delete;
	handled &operator=(const handled &) = delete;

	static handled &of(void *user) noexcept
	{
		return *static_cast<handled *>(user);
	}

	template <class F> long ask(F &&call) noexcept
	{
		return loop_->guard(PEAL_DONE, call);
	}

	static long readable(peal_channel *ch, void *user)
	{
		H &h = of(user).h_;

		return of(user).ask([&] {
			auto call = [&] { return h.on_readable(ref(ch)); };

			return verdict(call);
		});
	}
	static long writable(peal_channel *ch, void *user)
	{
		H &h = of(user).h_;

		return of(user).ask([&] {
			auto call = [&] { return h.on_writable(ref(ch)); };

			return verdict(call);
		});
	}
	static void open(peal_channel *ch, void *user)
	{
		call_back(of(user).loop_,
			  [&] { of(user).h_.on_open(ref(ch)); });
	}
	static void ended(peal_channel *ch, void *user)
	{
		call_back(of(user).loop_,
			  [&] { of(user).h_.on_ended(ref(ch)); });
	}
	static void closed(peal_channel *ch, int reason, void *user)
	{
		call_back(of(user).loop_,
			  [&] { of(user).h_.on_closed(ref(ch), reason); });
	}

	peal_channel_callbacks callbacks() noexcept
	{
		peal_channel_callbacks c{};

		if constexpr (has_on_open<H, ref>)
			c.on_open = open;
		if constexpr (has_on_readable<H, ref>)
			c.on_readable = readable;
		if constexpr (has_on_writable<H, ref>)
			c.on_writable = writable;
		if constexpr (has_on_ended<H, ref>)
			c.on_ended = ended;
		if constexpr (has_on_closed<H, ref, int>)
			c.on_closed = closed;
		c.user = this;
		return c;
	}

	reactor *loop_;
	H h_;
};

} // namespace detail

/** A handler of callables, for those who receive. */
template <class F, class G = detail::nothing> struct receiving {
	F on_readable;
	G on_closed = {};
};
template <class F> receiving(F) -> receiving<F>;
template <class F, class G> receiving(F, G) -> receiving<F, G>;

/** A handler of callables, for those who send. */
template <class F, class G = detail::nothing> struct sending {
	F on_writable;
	G on_closed = {};
};
template <class F> sending(F) -> sending<F>;
template <class F, class G> sending(F, G) -> sending<F, G>;

/** A client on a reactor: see connect_on(). */
template <class Send, class Receive, class H>
class client : private detail::handled<Send, Receive, H>
{
      public:
	client(reactor &loop, const char *address, H handler, const hello &h,
	       std::chrono::milliseconds retry)
	    : detail::handled<Send, Receive, H>(loop, std::move(handler))
	{
		peal_hello c = detail::c_hello<Send, Receive>(h);
		peal_channel_callbacks callbacks = this->callbacks();
		int ret = peal_connect_on(&ch_, loop.c(), address, &c,
					  &callbacks,
					  static_cast<unsigned>(retry.count()));

		if (ret < 0)
			detail::refused(ret, address, ch_);
	}
	~client()
	{
		peal_channel_close(&ch_);
	}
	sender_ref<Send> sender() noexcept
	{
		return ref().sender();
	}
	receiver_ref<Receive> receiver() noexcept
	{
		return ref().receiver();
	}
	channel_ref<Send, Receive> ref() noexcept
	{
		return channel_ref<Send, Receive>(&ch_);
	}
	H &handler() noexcept
	{
		return this->h_;
	}
	peal_channel *c() noexcept
	{
		return &ch_;
	}

      private:
	peal_channel ch_{};
};

/**
 * Connect on a reactor: the handler is told how it went.
 * @param retry  0: once; otherwise it connects again, after up to this time
 */
template <class Send, class Receive = void, class H>
client<Send, Receive, H> connect_on(reactor &loop, const char *address,
				    H handler, const hello &h = {},
				    std::chrono::milliseconds retry = {})
{
	return client<Send, Receive, H>(loop, address, std::move(handler), h,
					retry);
}

/** A server of up to N channels: see serve(). */
template <std::size_t N, class Receive, class Send, class H>
class server : private detail::handled<Send, Receive, H>
{
	using handled = detail::handled<Send, Receive, H>;
	static constexpr bool admits =
		detail::has_admit<H, const peal_hello &, const peal_peer &,
				  const char *&>;

      public:
	using channel_type = channel_ref<Send, Receive>;

	/** @param address  a path, "@name", or NULL: only add() */
	server(reactor &loop, const char *address, H handler,
	       const peal_service &wanted)
	    : handled(loop, std::move(handler))
	{
		peal_service service = wanted;

		service.accept = detail::accepted<Send, Receive>(wanted.accept);
		service.callbacks = this->callbacks();
		service.channels = channels_.data();
		service.n_channels = N;
		if constexpr (admits)
			service.admit = admit;
		if constexpr (detail::has_on_refused<H, const peal_peer &, int,
						     const char *>)
			service.on_refused = refuse;
		detail::must(peal_server_listen_on(&server_, loop.c(), address,
						   &service),
			     "peal::serve");
	}
	~server()
	{
		peal_server_close(&server_);
	}

	/** Serve a client through a socket; the fd stays yours. */
	int add(int fd, bool trusted) noexcept
	{
		return peal_server_add(&server_, fd, trusted);
	}
	/** From 0 to N - 1, for state of yours that belongs to a channel. */
	std::size_t index_of(channel_type ch) const noexcept
	{
		return static_cast<std::size_t>(ch.c() - channels_.data());
	}
	struct peal_server_stats stats() const noexcept
	{
		struct peal_server_stats s;

		::peal_server_stats(&server_, &s);
		return s;
	}
	H &handler() noexcept
	{
		return this->h_;
	}
	peal_server *c() noexcept
	{
		return &server_;
	}

      private:
	static server &of(void *user) noexcept
	{
		return static_cast<server &>(handled::of(user));
	}
	static bool admit(const peal_hello *h, const peal_peer *peer,
			  const char **why, void *user)
	{
		server &s = of(user);

		return s.loop_->guard(
			false, [&] { return s.h_.admit(*h, *peer, *why); });
	}
	static void refuse(const peal_peer *peer, int reason, const char *text,
			   void *user)
	{
		server &s = of(user);

		detail::call_back(
			s.loop_, [&] { s.h_.on_refused(*peer, reason, text); });
	}

	std::array<peal_channel, N> channels_{};
	peal_server server_{};
};

/**
 * Listen at an address, for a reactor with PEAL_SERVER_SLOTS(N) slots.
 * @param wanted  limits, mode, tags and so on; types, storage and callbacks are
 *                filled in
 */
template <std::size_t N, class Receive, class Send = void, class H>
server<N, Receive, Send, H> serve(reactor &loop, const char *address, H handler,
				  const peal_service &wanted = {})
{
	return server<N, Receive, Send, H>(loop, address, std::move(handler),
					   wanted);
}

} // namespace peal
#endif
