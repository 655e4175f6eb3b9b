/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_LOCAL_HPP
#define PEAL_LOCAL_HPP
/**
 * @file
 * A ring with all that belongs to it, between threads or to forked children, as
 * local.h says.
 */
#include <peal/local.h>
#include <peal/ring.hpp>

namespace peal
{

/**
 * A ring among those who trust each other: between threads, or to children that
 * are forked. It outlives its ends' users, and does not finish them: they say
 * finish(). Not to be moved while an end is in use.
 */
template <class T> class local
{
      public:
	explicit local(const shape &s)
	{
		peal_geometry g = detail::items<T>::geometry(s);

		detail::must(peal_local_init(&local_, &g), "peal::local");
	}
	local(local &&from) noexcept
	    : local_(std::exchange(from.local_, peal_local{}))
	{
	}
	local &operator=(local from) noexcept
	{
		std::swap(local_, from.local_);
		return *this;
	}
	~local()
	{
		peal_local_close(&local_);
	}
	sender_ref<T> sender() noexcept
	{
		return sender_ref<T>(&local_.sender);
	}
	receiver_ref<T> receiver() noexcept
	{
		return receiver_ref<T>(&local_.receiver);
	}
	peal_local *c() noexcept
	{
		return &local_;
	}

      private:
	peal_local local_{};
};

} // namespace peal
#endif
