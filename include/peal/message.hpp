/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_MESSAGE_HPP
#define PEAL_MESSAGE_HPP
/**
 * @file
 * Messages of any size, as message.h says: rings whose items are messages, such
 * as local<message>, and channels of them.
 *
 *	peal::local<peal::message> ring(65536);
 *
 *	ring.sender().send(1, "hello");
 *	if (auto m = ring.receiver().receive()) {
 *		std::cout << m.text();
 *		ring.receiver().release(m);
 *	}
 */
#include <peal/message.h>
#include <peal/ring.hpp>

namespace peal
{

/**
 * A message that was received, where it lies; false if there is none. error()
 * is -Exxx, or 0: none now, or any more.
 */
class message
{
      public:
	message() noexcept = default;
	explicit operator bool() const noexcept
	{
		return ret_ > 0;
	}
	int error() const noexcept
	{
		return ret_ < 0 ? ret_ : 0;
	}
	std::uint32_t kind() const noexcept
	{
		return m_.kind;
	}
	/** Aligned to 8 bytes. */
	bytes data() const noexcept
	{
		return { m_.data, m_.size };
	}
	std::string_view text() const noexcept
	{
		return { static_cast<const char *>(m_.data), m_.size };
	}
	const peal_message *c() const noexcept
	{
		return &m_;
	}

      private:
	template <class, class> friend class detail::receives;
	peal_message m_{};
	int ret_ = 0;
};

namespace detail
{

template <> struct items<message> {
	static constexpr std::size_t size = 8;
	static constexpr std::size_t alignment = 8;

	static peal_geometry geometry(const shape &s)
	{
		std::string tag(s.tag);
		peal_geometry g{};

		must(peal_message_geometry(&g, s.capacity,
					   tag.empty() ? nullptr : tag.c_str()),
		     "the shape of a ring of messages");
		copy_text(g.name, s.name, "the name of a ring");
		return g;
	}
};

template <class D> class sends<D, message> : public sends_anything<D>
{
	peal_sender *tx() const noexcept
	{
		return static_cast<const D *>(this)->c();
	}
	static found<std::byte> room(std::byte *first, int ret,
				     std::size_t n) noexcept
	{
		if (ret <= 0)
			return { nullptr, ret };
		return { first, static_cast<ssize_t>(n) };
	}

      public:
	/** Copy a message in and publish it. @return 0 or -Exxx: not sent */
	int send(std::uint32_t kind, bytes data,
		 timeout time = forever) const noexcept
	{
		return peal_message_send(tx(), kind, data.data(), data.size(),
					 time.ms());
	}
	/** Room for a message, or, false with error() 0, a bell will ring. */
	found<std::byte> reserve(std::size_t n) const noexcept
	{
		std::byte *first = nullptr;
		int ret = peal_message_reserve(tx(), n, &first);

		return room(first, ret, n);
	}
	found<std::byte> try_reserve(std::size_t n) const noexcept
	{
		std::byte *first = nullptr;
		int ret = peal_message_try_reserve(tx(), n, &first);

		return room(first, ret, n);
	}
	found<std::byte> wait(std::size_t n,
			      timeout time = forever) const noexcept
	{
		std::byte *first = nullptr;
		int ret = peal_message_wait(tx(), n, time.ms(), &first);

		return room(first, ret, n);
	}
	/** Complete what was reserved, and publish it. @return 0 or -Exxx */
	int commit(std::uint32_t kind, std::size_t n) const noexcept
	{
		return peal_message_commit(tx(), kind, n);
	}
	/** Complete it, as one of a batch. @return 0 or -Exxx */
	int stage(std::uint32_t kind, std::size_t n) const noexcept
	{
		return peal_message_stage(tx(), kind, n);
	}
	int publish() const noexcept
	{
		return peal_message_publish(tx());
	}
	void abandon() const noexcept
	{
		peal_message_abandon(tx());
	}
	/** Bytes of the largest message. */
	std::size_t max() const noexcept
	{
		return peal_message_max(tx());
	}
};

template <class D> class receives<D, message> : public receives_anything<D>
{
	peal_receiver *rx() const noexcept
	{
		return static_cast<const D *>(this)->c();
	}

      public:
	/** The first that was not released. */
	message peek() const noexcept
	{
		message m;

		m.ret_ = peal_message_peek(rx(), &m.m_);
		return m;
	}
	/** Sleep until there is one. error(): -ETIMEDOUT, -EPIPE, ... */
	message receive(timeout time = forever) const noexcept
	{
		message m;

		m.ret_ = peal_message_receive(rx(), time.ms(), &m.m_);
		return m;
	}
	/** The one behind it, among those that are known. */
	message next(const message &m) const noexcept
	{
		message behind = m;

		behind.ret_ = peal_message_next(rx(), &behind.m_);
		return behind;
	}
	/** Give it back, and all before it. @return 0 or -Exxx */
	int release(const message &m) const noexcept
	{
		return peal_message_release(rx(), &m.m_);
	}
};

} // namespace detail

} // namespace peal
#endif
