/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_SPAN_HPP
#define PEAL_SPAN_HPP
/**
 * @file
 * What the C++ headers have in common: errors, spans, times. See peal.hpp.
 */
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#if defined(__has_include) && __cplusplus >= 202002L
#if __has_include(<ranges>)
#include <ranges>
#endif
#endif

#include <sys/types.h>

namespace peal
{

namespace detail
{

[[noreturn]] inline void fail(int error, const std::string &what)
{
#ifdef __cpp_exceptions
	throw std::system_error(-error, std::generic_category(), what);
#else
	(void)error;
	(void)what;
	std::abort();
#endif
}

/* What the server has said; the exception says by itself what the error is. */
inline std::string explained(int error, std::string what, const char *text)
{
	if (*text && std::generic_category().message(-error) != text)
		what.append(": ").append(text);
	return what;
}

/* What a C function returned: an error is an exception. */
inline int must(int ret, const char *what)
{
	if (ret < 0)
		fail(ret, what);
	return ret;
}

template <std::size_t N>
void copy_text(char (&to)[N], std::string_view text, const char *what)
{
	if (text.size() >= N)
		fail(-EINVAL, std::string(what) + " is too long");
	text.copy(to, text.size());
	to[text.size()] = '\0';
}

/* A callable that has no use for what it is told, for callbacks left out. */
struct nothing {
	template <class... A> void operator()(A &&...) const noexcept
	{
	}
};

} // namespace detail

/**
 * Items in a row, as std::span, which C++17 does not have and which this
 * converts to and from.
 */
template <class T> class span
{
      public:
	using element_type = T;
	using value_type = std::remove_cv_t<T>;
	using size_type = std::size_t;
	using iterator = T *;

	constexpr span() noexcept = default;
	constexpr span(T *first, std::size_t n) noexcept : first_(first), n_(n)
	{
	}
	template <std::size_t N>
	constexpr span(T (&items)[N]) noexcept : span(items, N)
	{
	}
	/** Whatever has data() and size(): std::vector, std::array, std::span.
	 */
	template <
		class C,
		class = std::enable_if_t<
			std::is_convertible_v<
				decltype(std::declval<C &>().data()), T *> &&
			std::is_same_v<
				std::remove_cv_t<std::remove_pointer_t<
					decltype(std::declval<C &>().data())>>,
				std::remove_cv_t<T>>>>
	constexpr span(C &&items) noexcept : span(items.data(), items.size())
	{
	}

	constexpr T *data() const noexcept
	{
		return first_;
	}
	constexpr std::size_t size() const noexcept
	{
		return n_;
	}
	constexpr bool empty() const noexcept
	{
		return n_ == 0;
	}
	constexpr T *begin() const noexcept
	{
		return first_;
	}
	constexpr T *end() const noexcept
	{
		return first_ + n_;
	}
	constexpr T &operator[](std::size_t i) const noexcept
	{
		return first_[i];
	}
	/** At most n of them, from the first on. */
	constexpr span first(std::size_t n) const noexcept
	{
		return { first_, n < n_ ? n : n_ };
	}
	/** All but the first n. */
	constexpr span from(std::size_t n) const noexcept
	{
		return n < n_ ? span(first_ + n, n_ - n) : span();
	}

      private:
	T *first_ = nullptr;
	std::size_t n_ = 0;
};

/** Bytes of anything, to be copied in: of text, or of a span. */
class bytes : public span<const std::byte>
{
      public:
	constexpr bytes() noexcept = default;
	bytes(const void *data, std::size_t size) noexcept
	    : span(static_cast<const std::byte *>(data), size)
	{
	}
	template <class S,
		  std::enable_if_t<
			  std::is_convertible_v<const S &, std::string_view>,
			  int> = 0>
	bytes(const S &text) noexcept
	    : bytes(std::string_view(text).data(),
		    std::string_view(text).size())
	{
	}
	template <class C,
		  class T = std::remove_pointer_t<
			  decltype(std::declval<const C &>().data())>,
		  std::enable_if_t<
			  !std::is_convertible_v<const C &, std::string_view> &&
				  std::is_trivially_copyable_v<T>,
			  int> = 0>
	bytes(const C &items) noexcept
	    : bytes(items.data(), items.size() * sizeof(T))
	{
	}
};

/** The bytes of one object. */
template <class T> bytes bytes_of(const T &object) noexcept
{
	static_assert(std::is_trivially_copyable_v<T>);
	return { &object, sizeof(object) };
}

/**
 * What was found: a span, which is false if there is nothing, and says why.
 * error() is -Exxx as the C call returned it, or 0: nothing now, or, where it
 * says so, nothing any more.
 */
template <class T> class found
{
      public:
	using value_type = std::remove_cv_t<T>;

	constexpr found() noexcept = default;
	constexpr found(T *first, ssize_t n) noexcept : first_(first), n_(n)
	{
	}
	constexpr explicit operator bool() const noexcept
	{
		return first_ != nullptr && n_ >= 0;
	}
	constexpr int error() const noexcept
	{
		return n_ < 0 ? static_cast<int>(n_) : 0;
	}
	constexpr std::size_t size() const noexcept
	{
		return n_ < 0 ? 0 : static_cast<std::size_t>(n_);
	}
	constexpr bool empty() const noexcept
	{
		return n_ <= 0;
	}
	constexpr T *data() const noexcept
	{
		return first_;
	}
	constexpr T *begin() const noexcept
	{
		return first_;
	}
	constexpr T *end() const noexcept
	{
		return first_ + size();
	}
	constexpr T &operator[](std::size_t i) const noexcept
	{
		return first_[i];
	}
	constexpr operator span<T>() const noexcept
	{
		return { first_, size() };
	}
	constexpr span<T> first(std::size_t n) const noexcept
	{
		return span<T>(*this).first(n);
	}

      private:
	T *first_ = nullptr;
	ssize_t n_ = 0;
};

/** How long to wait: any duration, rounded up to milliseconds, or forever. */
class timeout
{
      public:
	template <class R, class P>
	constexpr timeout(std::chrono::duration<R, P> time) noexcept
	    : ms_(rounded(
		      std::chrono::duration_cast<
			      std::chrono::duration<double, std::milli>>(time)
			      .count()))
	{
	}
	static constexpr timeout never() noexcept
	{
		return timeout(-1);
	}
	constexpr int ms() const noexcept
	{
		return ms_;
	}

      private:
	constexpr explicit timeout(int ms) noexcept : ms_(ms)
	{
	}
	static constexpr int rounded(double ms) noexcept
	{
		if (!(ms > 0))
			return 0;
		if (ms >= INT_MAX)
			return INT_MAX;
		return static_cast<int>(ms) + (ms > static_cast<int>(ms));
	}
	int ms_;
};

inline constexpr timeout forever = timeout::never();
/** Look, and do not wait. */
inline constexpr timeout at_once = std::chrono::milliseconds(0);

} // namespace peal

#if defined(__cpp_lib_ranges)
template <class T>
inline constexpr bool std::ranges::enable_borrowed_range<peal::span<T>> = true;
template <class T>
inline constexpr bool std::ranges::enable_borrowed_range<peal::found<T>> = true;
#endif
#endif
