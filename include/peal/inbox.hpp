/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_INBOX_HPP
#define PEAL_INBOX_HPP
/**
 * @file
 * Inboxes: many processes that send messages to one, as inbox.h says.
 *
 *	peal::inbox<16> inbox("/run/log");
 *	while (auto letter = inbox.receive())
 *		std::cout << letter.from() << ": " << letter.text() << '\n';
 *
 *	peal::outbox out("/run/log", "cello");
 *	out.send(0, "hello");
 */
#include <array>

#include <peal/inbox.h>
#include <peal/reactor.hpp>

namespace peal
{

/**
 * A message of an inbox, given back when this ends: one at a time. False if
 * there is none; error() says why: -ETIMEDOUT, ...
 */
class letter
{
      public:
	letter() noexcept = default;
	letter(peal_inbox *inbox, timeout time) noexcept
	    : ret_(peal_inbox_receive(inbox, time.ms(), &letter_))
	{
		inbox_ = ret_ > 0 ? inbox : nullptr;
	}
	letter(letter &&from) noexcept
	    : inbox_(std::exchange(from.inbox_, nullptr)),
	      letter_(from.letter_), ret_(std::exchange(from.ret_, 0))
	{
	}
	/**
	 * What this was is given back; too late for receive() on the right
	 * side, which says -EBUSY: release() it before.
	 */
	letter &operator=(letter from) noexcept
	{
		std::swap(inbox_, from.inbox_);
		std::swap(letter_, from.letter_);
		std::swap(ret_, from.ret_);
		return *this;
	}
	~letter()
	{
		release();
	}
	/** Give it back now. @return 0 or -Exxx */
	int release() noexcept
	{
		ret_ = 0;
		return inbox_ ? peal_inbox_release(
					std::exchange(inbox_, nullptr),
					&letter_)
			      : 0;
	}

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
		return letter_.kind;
	}
	bytes data() const noexcept
	{
		return { letter_.data, letter_.size };
	}
	std::string_view text() const noexcept
	{
		return { static_cast<const char *>(letter_.data),
			 letter_.size };
	}
	/** As its sender calls itself; until the letter is given back. */
	std::string_view from() const noexcept
	{
		return letter_.from->hello.name;
	}
	const peal_peer &peer() const noexcept
	{
		return letter_.from->peer;
	}
	const peal_letter *c() const noexcept
	{
		return &letter_;
	}

      private:
	peal_inbox *inbox_ = nullptr;
	peal_letter letter_{};
	int ret_ = 0;
};

namespace detail
{

template <std::size_t N> class inbox_storage
{
      public:
	inbox_storage(const inbox_storage &) = delete;
	inbox_storage &operator=(const inbox_storage &) = delete;
	~inbox_storage()
	{
		peal_inbox_close(&inbox_);
	}
	struct peal_server_stats stats() const noexcept
	{
		struct peal_server_stats s;

		peal_inbox_stats(&inbox_, &s);
		return s;
	}
	peal_inbox *c() noexcept
	{
		return &inbox_;
	}

      protected:
	inbox_storage() noexcept = default;
	peal_inbox inbox_{};
	std::array<peal_inbox_sender, N> senders_{};
};

} // namespace detail

/** An inbox of up to N senders at the same time, with a loop of its own. */
template <std::size_t N> class inbox : public detail::inbox_storage<N>
{
      public:
	/** @param options  as in C; storage is filled in */
	explicit inbox(const char *address, peal_inbox_options options = {})
	{
		detail::must(
			peal_inbox_open_in(this->c(), this->senders_.data(),
					   slots_.data(), N, address, &options),
			"peal::inbox");
	}
	~inbox()
	{
		peal_inbox_close(this->c()); /* while there are slots */
	}
	letter receive(timeout time = forever) noexcept
	{
		return { this->c(), time };
	}
	/** Let receive() end. From any thread or signal handler. */
	void wake() noexcept
	{
		peal_inbox_wake(this->c());
	}
	/** Readable if there is something to receive at once. */
	int fd() noexcept
	{
		return peal_inbox_fd(this->c());
	}

      private:
	std::array<peal_slot, PEAL_INBOX_SLOTS(N)> slots_{};
};

/** An inbox on a reactor of yours, with PEAL_INBOX_SLOTS(N) free slots. */
template <std::size_t N, class F>
class inbox_on : public detail::inbox_storage<N>
{
      public:
	inbox_on(reactor &loop, const char *address, F f,
		 peal_inbox_options options)
	    : loop_(&loop), f_(std::move(f))
	{
		if (options.on_messages || options.user)
			detail::fail(-EINVAL, "peal::inbox_on has its own");
		options.senders = this->senders_.data();
		options.n_senders = N;
		options.user = this;
		options.on_messages = [](peal_inbox *, void *user) {
			auto *self = static_cast<inbox_on *>(user);

			detail::call_back(self->loop_,
					  [&] { self->f_(*self); });
		};
		detail::must(peal_inbox_open_on(this->c(), loop.c(), address,
						&options),
			     "peal::inbox_on");
	}
	/** The next one that is there. */
	letter receive() noexcept
	{
		return { this->c(), at_once };
	}

      private:
	reactor *loop_;
	F f_;
};

/**
 * @param f        called with the inbox when there are letters: take some or
 *                 all; it is called again for those that are left
 * @param options  as in C, without callbacks; storage is filled in
 */
template <std::size_t N, class F>
inbox_on<N, F> make_inbox(reactor &loop, const char *address, F f,
			  const peal_inbox_options &options = {})
{
	return inbox_on<N, F>(loop, address, std::move(f), options);
}

/** A sender's side of an inbox. */
class outbox
{
      public:
	/**
	 * @param n     bytes of messages on their way, 0: as usual
	 * @param name  who you are
	 */
	explicit outbox(const char *address, const char *name = nullptr,
			timeout time = forever, std::size_t n = 0,
			const char *tag = nullptr)
	{
		int ret = peal_outbox_open(&out_, address, name, tag, n,
					   time.ms());

		if (ret < 0)
			detail::fail(ret, detail::explained(ret, address,
							    out_.channel.text));
	}
	outbox(outbox &&from) noexcept
	    : out_(std::exchange(from.out_, peal_outbox{}))
	{
	}
	outbox &operator=(outbox from) noexcept
	{
		std::swap(out_, from.out_);
		return *this;
	}
	/** What was sent still arrives if the receiver is there. */
	~outbox()
	{
		peal_outbox_close(&out_, 0);
	}

	/** @return 0 or -Exxx: it was not sent */
	int send(std::uint32_t kind, bytes data,
		 timeout time = forever) noexcept
	{
		return peal_outbox_send(&out_, kind, data.data(), data.size(),
					time.ms());
	}
	int send_when_empty(std::uint32_t kind, bytes data,
			    timeout time = forever) noexcept
	{
		return peal_outbox_send_when_empty(&out_, kind, data.data(),
						   data.size(), time.ms());
	}
	/** Room for a message, to be filled in place. */
	found<std::byte> reserve(std::size_t n, timeout time = forever) noexcept
	{
		std::byte *first = nullptr;
		int ret = peal_outbox_reserve(&out_, n, time.ms(), &first);

		if (ret <= 0)
			return { nullptr, ret };
		return { first, static_cast<ssize_t>(n) };
	}
	int commit(std::uint32_t kind, std::size_t n) noexcept
	{
		return peal_outbox_commit(&out_, kind, n);
	}
	/** Wait until all was taken. @return 0 or -Exxx */
	int flush(timeout time = forever) noexcept
	{
		return peal_outbox_flush(&out_, time.ms());
	}
	/** Flush, and close. @return what flush() said */
	int close(timeout time = forever) noexcept
	{
		return peal_outbox_close(&out_, time.ms());
	}
	std::size_t max() const noexcept
	{
		return peal_outbox_max(&out_);
	}
	peal_outbox *c() noexcept
	{
		return &out_;
	}

      private:
	peal_outbox out_{};
};

} // namespace peal
#endif
