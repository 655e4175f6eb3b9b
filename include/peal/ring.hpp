/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_RING_HPP
#define PEAL_RING_HPP
/**
 * @file
 * Rings of items of one type, as ring.h says. An end is a handle:
 * owned (sender, receiver), or of somebody else's (sender_ref, receiver_ref:
 * of a local ring, of a channel), with the same calls.
 */
#include <peal/mem.hpp>
#include <peal/ring.h>
#include <peal/span.hpp>

namespace peal
{

/** How large a ring is to be, what its items are, and what it is for. */
struct shape {
	std::size_t capacity;
	std::string_view tag;
	std::string_view name;

	/** Items; of a ring of messages, bytes. */
	shape(std::size_t capacity_, std::string_view tag_ = {},
	      std::string_view name_ = {}) noexcept
	    : capacity(capacity_), tag(tag_), name(name_)
	{
	}
};

namespace detail
{

/* What depends on the type of the items; message.hpp has another one. */
template <class T> struct items {
	static_assert(std::is_trivially_copyable_v<T>,
		      "items are copied as bytes");
	static_assert(alignof(T) <= 4096, "no ring can be aligned so");

	static constexpr std::size_t size = sizeof(T);
	static constexpr std::size_t alignment = alignof(T);

	static peal_geometry geometry(const shape &s)
	{
		peal_geometry g{};

		g.capacity = s.capacity;
		g.item_size = size;
		copy_text(g.tag, s.tag, "the tag of a ring");
		copy_text(g.name, s.name, "the name of a ring");
		return g;
	}
};

inline std::uint64_t nanoseconds(std::chrono::nanoseconds time) noexcept
{
	return time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : 0;
}

/*
 * A callable that C calls for each item. No exception goes through C: it ends
 * the walk, and is thrown on when C is through.
 */
template <class T, class F> struct walk {
	F &f;
#ifdef __cpp_exceptions
	std::exception_ptr thrown = nullptr;
#endif

	bool step(T &item) noexcept
	{
#ifdef __cpp_exceptions
		try {
			return f(item);
		} catch (...) {
			thrown = std::current_exception();
		}
		return false;
#else
		return f(item);
#endif
	}
	ssize_t through(ssize_t ret)
	{
#ifdef __cpp_exceptions
		if (thrown)
			std::rethrow_exception(std::move(thrown));
#endif
		return ret;
	}
};

/* What senders of anything have in common; D has c(). */
template <class D> class sends_anything
{
	peal_sender *tx() const noexcept
	{
		return static_cast<const D *>(this)->c();
	}

      public:
	int set_watermark(std::size_t n) const noexcept
	{
		return peal_sender_set_watermark(tx(), n);
	}
	void set_spin(std::chrono::nanoseconds most) const noexcept
	{
		peal_sender_set_spin(tx(), nanoseconds(most));
	}
	void set_barriers(bool allow) const noexcept
	{
		peal_sender_set_barriers(tx(), allow);
	}
	/** How many items are free; of messages, units. */
	ssize_t free() const noexcept
	{
		return peal_sender_free(tx());
	}
	std::size_t capacity() const noexcept
	{
		return peal_sender_capacity(tx());
	}
	/** Sleep until all was taken. @return 0 or -Exxx */
	int drain(timeout time = forever) const noexcept
	{
		return peal_sender_drain(tx(), time.ms());
	}
	/** End the stream: the receiver drains it, then sees the end. */
	void finish() const noexcept
	{
		peal_sender_finish(tx());
	}
	void hangup() const noexcept
	{
		peal_sender_hangup(tx());
	}
	bool arm() const noexcept
	{
		return peal_sender_arm(tx());
	}
	int clear() const noexcept
	{
		return peal_sender_clear(tx());
	}
	int fd() const noexcept
	{
		return peal_sender_fd(tx());
	}
	peal_ring_stats stats() const noexcept
	{
		peal_ring_stats s;

		peal_sender_stats(tx(), &s);
		return s;
	}
};

template <class D> class receives_anything
{
	peal_receiver *rx() const noexcept
	{
		return static_cast<const D *>(this)->c();
	}

      public:
	int set_watermark(std::size_t n) const noexcept
	{
		return peal_receiver_set_watermark(rx(), n);
	}
	void set_spin(std::chrono::nanoseconds most) const noexcept
	{
		peal_receiver_set_spin(rx(), nanoseconds(most));
	}
	void set_barriers(bool allow) const noexcept
	{
		peal_receiver_set_barriers(rx(), allow);
	}
	/** How many items are there; of messages, units. */
	ssize_t used() const noexcept
	{
		return peal_receiver_used(rx());
	}
	std::size_t capacity() const noexcept
	{
		return peal_receiver_capacity(rx());
	}
	/** The stream has ended, and all of it was released. */
	bool ended() const noexcept
	{
		return peal_receiver_ended(rx());
	}
	/** Take no more: the sender is told with -EPIPE. */
	void finish() const noexcept
	{
		peal_receiver_finish(rx());
	}
	void hangup() const noexcept
	{
		peal_receiver_hangup(rx());
	}
	bool arm() const noexcept
	{
		return peal_receiver_arm(rx());
	}
	int clear() const noexcept
	{
		return peal_receiver_clear(rx());
	}
	int fd() const noexcept
	{
		return peal_receiver_fd(rx());
	}
	peal_ring_stats stats() const noexcept
	{
		peal_ring_stats s;

		peal_receiver_stats(rx(), &s);
		return s;
	}
};

template <class D, class T> class sends : public sends_anything<D>
{
	peal_sender *tx() const noexcept
	{
		return static_cast<const D *>(this)->c();
	}

      public:
	/** n free items or more; if there are fewer, the bell will ring. */
	found<T> reserve(std::size_t n = 1) const noexcept
	{
		T *first = nullptr;
		ssize_t ret = peal_sender_reserve(tx(), n, &first);

		return { ret > 0 ? first : nullptr, ret };
	}
	/** What is free, for those who would rather drop than wait. */
	found<T> try_reserve() const noexcept
	{
		T *first = nullptr;
		ssize_t ret = peal_sender_try_reserve(tx(), &first);

		return { ret > 0 ? first : nullptr, ret };
	}
	/** Sleep until n are free. error(): -ETIMEDOUT, -EPIPE, ... */
	found<T> wait(std::size_t n = 1, timeout time = forever) const noexcept
	{
		T *first = nullptr;
		ssize_t ret = peal_sender_wait(tx(), n, time.ms(), &first);

		return { ret > 0 ? first : nullptr, ret };
	}
	/** Publish the first n reserved. @return 0 or -Exxx */
	int commit(std::size_t n) const noexcept
	{
		return peal_sender_commit(tx(), n);
	}
	/**
	 * Copy in as many as there is room for; if that are fewer, the bell
	 * will ring. @return how many or -Exxx
	 */
	ssize_t put(span<const T> from) const noexcept
	{
		return peal_sender_put(tx(), from.data(), from.size());
	}
	ssize_t put(const T &item) const noexcept
	{
		return peal_sender_put(tx(), &item, 1);
	}
	/**
	 * Fill in up to n items, one by one, as one batch; if there is room for
	 * fewer, the bell will ring.
	 * @param fill  called with T &; false ends it, and so does an
	 *              exception, which is thrown when those before it are
	 *              published
	 */
	template <class F> ssize_t each(std::size_t n, F &&fill) const
	{
		using walk = detail::walk<T, std::remove_reference_t<F>>;
		walk w{ fill };
		auto call = [](void *item, void *user) -> bool {
			return static_cast<walk *>(user)->step(
				*static_cast<T *>(item));
		};

		return w.through(peal_sender_each(tx(), n, call, &w));
	}
};

template <class D, class T> class receives : public receives_anything<D>
{
	peal_receiver *rx() const noexcept
	{
		return static_cast<const D *>(this)->c();
	}

      public:
	/** What is there, yours until release(). */
	found<const T> peek() const noexcept
	{
		const T *first = nullptr;
		ssize_t ret = peal_receiver_peek(rx(), &first);

		return { ret > 0 ? first : nullptr, ret };
	}
	/**
	 * Sleep until n are there. False with error() 0: the sender has
	 * finished, and all was released; or -EPIPE, -ETIMEDOUT, ...
	 */
	found<const T> wait(std::size_t n = 1,
			    timeout time = forever) const noexcept
	{
		const T *first = nullptr;
		ssize_t ret = peal_receiver_wait(rx(), n, time.ms(), &first);

		return { ret > 0 ? first : nullptr, ret };
	}
	/** Give the first n back to the sender. @return 0 or -Exxx */
	int release(std::size_t n) const noexcept
	{
		return peal_receiver_release(rx(), n);
	}
	/** Copy out and release. @return how many or -Exxx */
	ssize_t get(span<T> to) const noexcept
	{
		return peal_receiver_get(rx(), to.data(), to.size());
	}
	ssize_t get(T &item) const noexcept
	{
		return peal_receiver_get(rx(), &item, 1);
	}
	/**
	 * Take up to n items, one by one, and release them as one batch.
	 * @param take  called with const T &; false ends it, and that one
	 *              stays; and so does an exception, which is thrown when
	 *              those before it are released
	 */
	template <class F> ssize_t each(std::size_t n, F &&take) const
	{
		using walk = detail::walk<const T, std::remove_reference_t<F>>;
		walk w{ take };
		auto call = [](const void *item, void *user) -> bool {
			return static_cast<walk *>(user)->step(
				*static_cast<const T *>(item));
		};

		return w.through(peal_receiver_each(rx(), n, call, &w));
	}
};

} // namespace detail

/** A sender that is somebody else's: it must outlive this. */
template <class T> class sender_ref : public detail::sends<sender_ref<T>, T>
{
      public:
	explicit sender_ref(peal_sender *tx) noexcept : tx_(tx)
	{
	}
	template <class D>
	sender_ref(const detail::sends<D, T> &other) noexcept
	    : tx_(static_cast<const D &>(other).c())
	{
	}
	peal_sender *c() const noexcept
	{
		return tx_;
	}

      private:
	peal_sender *tx_;
};

/** A receiver that is somebody else's: it must outlive this. */
template <class T>
class receiver_ref : public detail::receives<receiver_ref<T>, T>
{
      public:
	explicit receiver_ref(peal_receiver *rx) noexcept : rx_(rx)
	{
	}
	template <class D>
	receiver_ref(const detail::receives<D, T> &other) noexcept
	    : rx_(static_cast<const D &>(other).c())
	{
	}
	peal_receiver *c() const noexcept
	{
		return rx_;
	}

      private:
	peal_receiver *rx_;
};

/** Where a ring lies, in memory that is yours and outlives its ends. */
template <class T> class ring
{
      public:
	/** Bytes of memory that it takes. */
	static std::size_t size(const shape &s)
	{
		peal_geometry g = fitted(s, 0);

		return static_cast<std::size_t>(g.items_offset) +
		       peal_geometry_body(&g);
	}
	/** A new one, in memory that nobody uses, aligned to 8 and as T is. */
	ring(const shape &s, span<std::byte> memory)
	{
		peal_geometry g = fitted(s, 0);

		detail::must(aligned(memory), "peal::ring");
		detail::must(peal_ring_format(&ring_, &g, memory.data(),
					      memory.size()),
			     "peal::ring");
	}
	/** One that another process made: it must be of that shape. */
	static ring open(const shape &s, span<std::byte> memory)
	{
		peal_geometry g = fitted(s, 0);
		ring r;

		detail::must(r.aligned(memory), "peal::ring::open");
		detail::must(peal_ring_open(&r.ring_, &g, memory.data(),
					    memory.size()),
			     "peal::ring::open");
		return r;
	}
	const peal_ring *c() const noexcept
	{
		return &ring_;
	}

      private:
	ring() noexcept = default;
	static peal_geometry fitted(const shape &s, std::size_t page)
	{
		peal_geometry g = detail::items<T>::geometry(s);

		detail::must(peal_geometry_fit(&g, page),
			     "the shape of a ring");
		return g;
	}
	static int aligned(span<std::byte> memory) noexcept
	{
		auto at = reinterpret_cast<std::uintptr_t>(memory.data());

		return at % detail::items<T>::alignment == 0 ? 0 : -EINVAL;
	}
	peal_ring ring_{};
};

/** A sender of one's own. Not to be moved while it is on a reactor. */
template <class T> class sender : public detail::sends<sender<T>, T>
{
      public:
	/** Without bells either side polls. */
	explicit sender(const ring<T> &r, const doorbell *data = nullptr,
			const doorbell *space = nullptr)
	{
		detail::must(peal_sender_attach(&tx_, r.c(),
						data ? data->c() : nullptr,
						space ? space->c() : nullptr),
			     "peal::sender");
	}
	sender(sender &&from) noexcept
	    : tx_(std::exchange(from.tx_, peal_sender{}))
	{
	}
	sender &operator=(sender from) noexcept
	{
		std::swap(tx_, from.tx_);
		return *this;
	}
	~sender()
	{
		peal_sender_finish(&tx_);
	}
	peal_sender *c() const noexcept
	{
		return &tx_;
	}

      private:
	mutable peal_sender tx_{};
};

/** A receiver of one's own. Not to be moved while it is on a reactor. */
template <class T> class receiver : public detail::receives<receiver<T>, T>
{
      public:
	explicit receiver(const ring<T> &r, const doorbell *data = nullptr,
			  const doorbell *space = nullptr)
	{
		detail::must(peal_receiver_attach(&rx_, r.c(),
						  data ? data->c() : nullptr,
						  space ? space->c() : nullptr),
			     "peal::receiver");
	}
	receiver(receiver &&from) noexcept
	    : rx_(std::exchange(from.rx_, peal_receiver{}))
	{
	}
	receiver &operator=(receiver from) noexcept
	{
		std::swap(rx_, from.rx_);
		return *this;
	}
	~receiver()
	{
		peal_receiver_finish(&rx_);
	}
	peal_receiver *c() const noexcept
	{
		return &rx_;
	}

      private:
	mutable peal_receiver rx_{};
};

} // namespace peal
#endif
