/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_CHANNEL_HPP
#define PEAL_CHANNEL_HPP
/**
 * @file
 * Channels between processes, as channel.h says. What one side sends and
 * receives are types; void is nothing.
 *
 *	peal::channel<double> ch("./sum");	// sends doubles
 *
 *	ch.sender().put(1.5);
 *
 * server.hpp has servers, and clients on a reactor.
 */
#include <peal/channel.h>
#include <peal/message.hpp>

namespace peal
{

/** What a client says of itself; what is left out is as usual. */
struct hello {
	std::size_t capacity = 0; /**< items, of messages bytes */
	std::string_view tag = {};
	std::string_view name = {};
	std::size_t back_capacity = 0; /**< of the ring to the client */
	std::string_view back_tag = {};
	peal_doorbell_kind bells = PEAL_DOORBELL_NONE;
};

/** A channel that is somebody else's: a server's, or one on a reactor. */
template <class Send, class Receive> class channel_ref
{
      public:
	explicit channel_ref(peal_channel *ch) noexcept : ch_(ch)
	{
	}
	sender_ref<Send> sender() const noexcept
	{
		return sender_ref<Send>(&ch_->sender);
	}
	receiver_ref<Receive> receiver() const noexcept
	{
		return receiver_ref<Receive>(&ch_->receiver);
	}
	/** As the client calls itself. */
	std::string_view name() const noexcept
	{
		return ch_->hello.name;
	}
	const peal_peer &peer() const noexcept
	{
		return ch_->peer;
	}
	/** Why it was refused, or closed. */
	std::string_view text() const noexcept
	{
		return ch_->text;
	}
	/** @return 0 the other side is there, 1 it has finished, -EPIPE */
	int check() const noexcept
	{
		return peal_channel_check(ch_);
	}
	/** Finish both ends, and release everything. */
	void finish() const noexcept
	{
		peal_channel_close(ch_);
	}
	int fd() const noexcept
	{
		return peal_channel_fd(ch_);
	}
	/** Its `user` is taken. */
	peal_channel *c() const noexcept
	{
		return ch_;
	}
	bool operator==(const channel_ref &other) const noexcept
	{
		return ch_ == other.ch_;
	}

      private:
	peal_channel *ch_;
};

namespace detail
{

/* The ring of one direction; void has none. */
template <class T> peal_geometry direction(std::size_t n, std::string_view tag)
{
	/* 0 leaves the capacity to the server. */
	peal_geometry g = items<T>::geometry(shape(n ? n : 65536, tag));

	if (n == 0)
		g.capacity = 0;
	return g;
}

template <class Send, class Receive> constexpr peal_role role() noexcept
{
	static_assert(!std::is_void_v<Send> || !std::is_void_v<Receive>,
		      "a channel for nothing");
	if constexpr (std::is_void_v<Receive>)
		return PEAL_SENDER;
	else if constexpr (std::is_void_v<Send>)
		return PEAL_RECEIVER;
	else
		return PEAL_BOTH;
}

template <std::size_t N>
void copy_tag(char (&to)[N], const char (&from)[N]) noexcept
{
	std::char_traits<char>::copy(to, from, N);
}

/* As a client says it that sends Send and receives Receive. */
template <class Send, class Receive> peal_hello c_hello(const hello &h)
{
	peal_hello c{};

	c.role = role<Send, Receive>();
	c.bells = h.bells;
	copy_text(c.name, h.name, "the name of a channel");
	if constexpr (std::is_void_v<Send>) {
		peal_geometry g = direction<Receive>(h.capacity, h.tag);

		c.item_size = g.item_size;
		c.capacity = g.capacity;
		copy_tag(c.tag, g.tag);
	} else {
		peal_geometry g = direction<Send>(h.capacity, h.tag);

		c.item_size = g.item_size;
		c.capacity = g.capacity;
		copy_tag(c.tag, g.tag);
	}
	if constexpr (role<Send, Receive>() == PEAL_BOTH) {
		peal_geometry g = direction<Receive>(h.back_capacity,
						     h.back_tag);

		c.back_item_size = g.item_size;
		c.back_capacity = g.capacity;
		copy_tag(c.back_tag, g.tag);
	}
	return c;
}

/*
 * What a service accepts, by a server that sends Send and receives Receive: the
 * client does the opposite. What the caller has set stays, but for the types.
 */
template <class Send, class Receive>
peal_hello accepted(const peal_hello &wanted)
{
	hello h;

	h.tag = wanted.tag;
	h.back_tag = wanted.back_tag;
	peal_hello c = c_hello<Receive, Send>(h);

	c.bells = wanted.bells;
	c.capacity = wanted.capacity;
	c.back_capacity = wanted.back_capacity;
	return c;
}

[[noreturn]] inline void refused(int error, const char *what,
				 const peal_channel &ch)
{
	fail(error, explained(error, what, ch.text));
}

} // namespace detail

/**
 * One side of a channel that is not on a reactor: of a client that sends Send
 * and receives Receive, or of a server of one.
 */
template <class Send, class Receive = void> class channel
{
      public:
	/** Connect. The text of an exception is what the server said. */
	explicit channel(const char *address, const hello &h = {},
			 timeout time = forever)
	{
		peal_hello c = detail::c_hello<Send, Receive>(h);

		connected(peal_connect(&ch_, address, &c, time.ms()), address);
	}
	/** Connect through a socket; the fd stays yours. */
	static channel connect(int fd, const hello &h = {},
			       timeout time = forever)
	{
		peal_hello c = detail::c_hello<Send, Receive>(h);
		channel made;

		made.connected(peal_connect_fd(&made.ch_, fd, &c, time.ms()),
			       "peal::channel::connect");
		return made;
	}
	/**
	 * Be the server of who connects at the other end of a socket.
	 * @param trusted  you know who it is
	 */
	static channel accept(int fd, bool trusted,
			      const peal_service &wanted = {},
			      timeout time = forever)
	{
		peal_service service = wanted;
		channel made;

		service.accept = detail::accepted<Send, Receive>(wanted.accept);
		made.connected(peal_channel_accept(&made.ch_, fd, &service,
						   trusted, time.ms()),
			       "peal::channel::accept");
		return made;
	}
	channel(channel &&from) noexcept
	    : ch_(std::exchange(from.ch_, peal_channel{}))
	{
		settle();
	}
	channel &operator=(channel from) noexcept
	{
		std::swap(ch_, from.ch_);
		settle();
		from.settle();
		return *this;
	}
	/** What was sent the other side still receives. */
	~channel()
	{
		peal_channel_close(&ch_);
	}

	/** After the server is gone. @return 0 or -Exxx of peal_reconnect() */
	int reconnect(timeout time = forever) noexcept
	{
		return peal_reconnect(&ch_, time.ms());
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
	peal_channel *c() noexcept
	{
		return &ch_;
	}

      private:
	channel() noexcept = default;
	void connected(int ret, const char *what)
	{
		if (ret < 0)
			detail::refused(ret, what, ch_);
	}
	/* Ends that share a bell know each other. */
	void settle() noexcept
	{
		if (ch_.sender.end.bell.sibling)
			ch_.sender.end.bell.sibling = &ch_.receiver.end;
		if (ch_.receiver.end.bell.sibling)
			ch_.receiver.end.bell.sibling = &ch_.sender.end;
	}

	peal_channel ch_{};
};

} // namespace peal
#endif
