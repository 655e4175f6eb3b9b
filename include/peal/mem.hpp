/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_MEM_HPP
#define PEAL_MEM_HPP
/**
 * @file
 * Memory that can be shared, blobs that are written once, and doorbells, as
 * mem.h and doorbell.h say.
 */
#include <peal/doorbell.h>
#include <peal/mem.h>
#include <peal/span.hpp>

namespace peal
{

/** A memfd that is mapped; PEAL_MEM_TWICE and the like are its flags. */
class memory
{
      public:
	memory() noexcept = default;
	memory(const char *name, std::size_t body_offset, std::size_t body,
	       unsigned flags = 0)
	{
		detail::must(
			peal_mem_create(&mem_, name, body_offset, body, flags),
			"peal::memory");
	}
	/** Of somebody else's memfd; the fd is borrowed. */
	static memory open(int fd, std::size_t body_offset, std::size_t body,
			   unsigned flags = 0)
	{
		memory m;

		detail::must(
			peal_mem_open(&m.mem_, fd, body_offset, body, flags),
			"peal::memory::open");
		return m;
	}
	memory(memory &&from) noexcept
	    : mem_(std::exchange(from.mem_, peal_mem{}))
	{
	}
	memory &operator=(memory from) noexcept
	{
		std::swap(mem_, from.mem_);
		return *this;
	}
	~memory()
	{
		peal_mem_close(&mem_);
	}

	/** Freeze it. @return 0 or -Exxx of peal_mem_seal() */
	int seal() noexcept
	{
		return peal_mem_seal(&mem_);
	}
	span<std::byte> before_body() const noexcept
	{
		return { static_cast<std::byte *>(mem_.base),
			 mem_.body_offset };
	}
	/** With PEAL_MEM_TWICE as much again can be reached behind it. */
	span<std::byte> body() const noexcept
	{
		return { static_cast<std::byte *>(mem_.base) + mem_.body_offset,
			 mem_.body };
	}
	/** Head and body, as ring<T> takes them. */
	span<std::byte> all() const noexcept
	{
		return { static_cast<std::byte *>(mem_.base),
			 mem_.body_offset + mem_.body };
	}
	/** -1 if there is none. */
	int fd() const noexcept
	{
		return mem_.base ? mem_.fd : -1;
	}
	peal_mem *c() noexcept
	{
		return &mem_;
	}

      private:
	peal_mem mem_{};
};

/** Bytes that are written, then sealed, then read-only for everybody. */
class blob
{
      public:
	blob() noexcept = default;
	blob(const char *name, std::size_t size)
	{
		detail::must(peal_blob_create(&blob_, name, size),
			     "peal::blob");
	}
	/** Of somebody else's blob; the fd may be closed afterwards. */
	static blob open(int fd)
	{
		blob b;

		detail::must(peal_blob_open(&b.blob_, fd), "peal::blob::open");
		return b;
	}
	blob(blob &&from) noexcept
	    : blob_(std::exchange(from.blob_, peal_blob{}))
	{
	}
	blob &operator=(blob from) noexcept
	{
		std::swap(blob_, from.blob_);
		return *this;
	}
	~blob()
	{
		peal_blob_close(&blob_);
	}

	/** To be filled in, until seal(). */
	span<std::byte> writable() noexcept
	{
		return { static_cast<std::byte *>(blob_.base), blob_.size };
	}
	/** End the writing. @return 0 or -Exxx of peal_blob_seal() */
	int seal() noexcept
	{
		return peal_blob_seal(&blob_);
	}
	span<const std::byte> data() const noexcept
	{
		return { static_cast<const std::byte *>(blob_.base),
			 blob_.size };
	}
	/** -1 if there is none. */
	int fd() const noexcept
	{
		return blob_.base ? blob_.fd : -1;
	}
	peal_blob *c() noexcept
	{
		return &blob_;
	}

      private:
	peal_blob blob_{};
};

/** A pair of fds, one to wait on and one to ring. */
class doorbell
{
      public:
	explicit doorbell(peal_doorbell_kind kind = PEAL_DOORBELL_EVENTFD)
	{
		detail::must(peal_doorbell_init(&bell_, kind),
			     "peal::doorbell");
	}
	/** One that C made, and that is ours from now on. */
	explicit doorbell(const peal_doorbell &bell) noexcept : bell_(bell)
	{
	}
	doorbell(doorbell &&from) noexcept
	    : bell_(std::exchange(from.bell_, peal_doorbell{}))
	{
	}
	doorbell &operator=(doorbell from) noexcept
	{
		std::swap(bell_, from.bell_);
		return *this;
	}
	~doorbell()
	{
		peal_doorbell_close(&bell_);
	}

	int ring() const noexcept
	{
		return peal_doorbell_ring(&bell_);
	}
	int clear() const noexcept
	{
		return peal_doorbell_clear(&bell_);
	}
	/** @return 0 it was rung, -ETIMEDOUT, or -Exxx */
	int wait(timeout time = forever) const noexcept
	{
		return peal_doorbell_wait(&bell_, time.ms());
	}
	const peal_doorbell *c() const noexcept
	{
		return &bell_;
	}

      private:
	peal_doorbell bell_{};
};

} // namespace peal
#endif
