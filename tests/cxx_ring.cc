/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The headers for C++: spans, memory, rings, messages. */
#include <array>
#include <numeric>
#include <string>
#include <thread>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

#include <sys/wait.h>
#include <unistd.h>

#include <peal/peal.hpp>

#include "fixtures/harness.h"

using namespace std::chrono_literals;

namespace
{

/* The error that a call throws, or 0. */
template <class F> int thrown(F &&call)
{
	try {
		call();
	} catch (const std::system_error &e) {
		CHECK(e.code().category() == std::generic_category());
		return e.code().value();
	}
	return 0;
}

struct tick {
	std::uint64_t time;
	double price;
};

/* -- spans and times */

TEST(cxx_spans_are_made_of_arrays_vectors_and_found_items)
{
	int array[] = { 1, 2, 3 };
	std::vector<int> vector = { 4, 5 };
	peal::span<int> a = array;
	peal::span<const int> b = vector, c = a, d = peal::found<int>(array, 2);

	CHECK_EQ(a.size(), 3);
	CHECK_EQ(b[1], 5);
	CHECK_EQ(c[2], 3);
	CHECK_EQ(d.size(), 2);
	CHECK_EQ(a.first(2).size(), 2);
	CHECK_EQ(a.first(9).size(), 3);
	CHECK_EQ(a.from(2)[0], 3);
	CHECK(a.from(4).empty());
}

#if __cplusplus >= 202002L
TEST(cxx_spans_are_the_standards_spans)
{
	std::array<int, 3> array = { 1, 2, 3 };
	std::span<int> standard = array;
	peal::span<const int> ours = standard;
	std::span<const int> back = ours;
	std::span<const int> items = peal::found<const int>(array.data(), 2);

	CHECK_EQ(back.size(), 3);
	CHECK_EQ(back[2], 3);
	CHECK_EQ(items.size(), 2);
	static_assert(std::ranges::borrowed_range<peal::span<int>>);
}
#endif

TEST(cxx_bytes_are_of_texts_and_of_items)
{
	std::vector<std::uint16_t> two = { 1, 2 };
	std::string text = "abc";
	tick t{};

	CHECK_EQ(peal::bytes("hello").size(), 5);
	CHECK_EQ(peal::bytes(text).size(), 3);
	CHECK_EQ(peal::bytes(two).size(), 4);
	CHECK_EQ(peal::bytes_of(t).size(), 16);
}

TEST(cxx_timeouts_are_rounded_up)
{
	CHECK_EQ(peal::timeout(1500us).ms(), 2);
	CHECK_EQ(peal::timeout(1ns).ms(), 1);
	CHECK_EQ(peal::timeout(2s).ms(), 2000);
	CHECK_EQ(peal::timeout(-1s).ms(), 0);
	CHECK_EQ(peal::timeout(std::chrono::hours(10000)).ms(), INT_MAX);
	CHECK_EQ(peal::forever.ms(), -1);
	CHECK_EQ(peal::at_once.ms(), 0);
}

/* -- memory and doorbells */

TEST(cxx_memory_is_mapped_twice_and_can_be_moved)
{
	std::size_t page = peal_mem_page(0);
	peal::memory m("cxx", 0, page, PEAL_MEM_TWICE);
	peal::memory n = std::move(m);

	CHECK(m.c()->base == nullptr);
	n.body()[0] = std::byte{ 7 };
	CHECK(n.body().data()[page] == std::byte{ 7 });
	m = std::move(n);
	CHECK_EQ(m.body().size(), page);
	CHECK_EQ(m.seal(), 0);
	CHECK_EQ(m.seal(), -EPERM);
	CHECK_EQ(thrown([] { peal::memory none("cxx", 0, 0); }), EINVAL);
}

TEST(cxx_memory_of_others_is_opened)
{
	std::size_t page = peal_mem_page(0);
	peal::memory m("cxx", 0, page);
	peal::memory n = peal::memory::open(m.fd(), 0, page);

	m.body()[1] = std::byte{ 8 };
	CHECK(n.body()[1] == std::byte{ 8 });
	CHECK_EQ(thrown([&] { peal::memory::open(m.fd(), 0, 2 * page); }),
		 ERANGE);
	CHECK_EQ(thrown([] { peal::memory::open(-1, 0, 4096); }), EBADF);
}

TEST(cxx_blobs_are_written_sealed_and_read)
{
	peal::blob b("cxx", 3);

	b.writable()[2] = std::byte{ 9 };
	CHECK_EQ(b.seal(), 0);
	peal::blob c = std::move(b), d = peal::blob::open(c.fd());
	CHECK(d.data()[2] == std::byte{ 9 });
	CHECK_EQ(d.data().size(), 3);
	CHECK_EQ(thrown([] { peal::blob::open(0); }), EBADMSG);
}

TEST(cxx_doorbells_ring)
{
	peal::doorbell made, bell = std::move(made);

	CHECK_EQ(bell.wait(peal::at_once), -ETIMEDOUT);
	CHECK_EQ(bell.ring(), 0);
	CHECK_EQ(bell.wait(), 0);
	CHECK_EQ(bell.clear(), 1);
	CHECK_EQ(thrown([] { peal::doorbell none(PEAL_DOORBELL_SOCKET); }),
		 EINVAL);
}

/* -- rings */

TEST(cxx_a_ring_between_threads_delivers_every_item)
{
	constexpr std::uint64_t last = 100000;
	peal::local<std::uint64_t> ring(64);
	std::uint64_t sum = 0;

	std::thread thread([tx = ring.sender()] {
		for (std::uint64_t i = 1; i <= last; i++) {
			auto room = tx.wait();

			CHECK(room);
			room[0] = i;
			CHECK_EQ(tx.commit(1), 0);
		}
		tx.finish();
	});
	while (auto items = ring.receiver().wait()) {
		sum = std::accumulate(items.begin(), items.end(), sum);
		CHECK_EQ(ring.receiver().release(items.size()), 0);
	}
	thread.join();
	CHECK_EQ(sum, last * (last + 1) / 2);
	CHECK(ring.receiver().ended());
	CHECK_EQ(ring.sender().stats().items, last);
	CHECK_EQ(ring.receiver().stats().items, last);
}

TEST(cxx_what_is_not_there_is_false_and_says_why)
{
	peal::local<tick> ring({ 2, "tick/1", "ticker" });
	auto tx = ring.sender();
	auto rx = ring.receiver();
	std::size_t capacity = tx.capacity();

	CHECK(!rx.peek() && rx.peek().error() == 0);
	CHECK_EQ(rx.wait(1, peal::at_once).error(), -ETIMEDOUT);
	CHECK_EQ(tx.reserve(0).error(), -EINVAL);
	CHECK_EQ(tx.try_reserve().size(), capacity);
	CHECK_EQ(tx.commit(capacity), 0);
	CHECK(!tx.reserve() && tx.reserve().error() == 0);
	CHECK_EQ(tx.wait(1, 1ms).error(), -ETIMEDOUT);
	CHECK_EQ(tx.put(tick{}), 0);
	CHECK_EQ(rx.used(), capacity);
	CHECK_EQ(rx.release(capacity + 1), -EINVAL);
	rx.finish();
	CHECK_EQ(tx.reserve(capacity).error(), -EPIPE);
	CHECK_EQ(tx.put(tick{}), -EPIPE);
}

TEST(cxx_items_are_put_got_and_walked_through)
{
	peal::local<int> ring(16);
	std::vector<int> from = { 1, 2, 3 };
	std::array<int, 8> to{};
	int next = 4, sum = 0, one = 0;

	CHECK_EQ(ring.sender().put(from), 3);
	CHECK_EQ(ring.sender().each(16,
				    [&](int &item) {
					    item = next;
					    return next++ < 7;
				    }),
		 3);
	CHECK_EQ(ring.receiver().get(one), 1);
	CHECK_EQ(one, 1);
	CHECK_EQ(ring.receiver().each(2,
				      [&](const int &item) {
					      sum += item;
					      return true;
				      }),
		 2);
	CHECK_EQ(sum, 5);
	CHECK_EQ(ring.receiver().get(to), 3);
	CHECK_EQ(to[2], 6);
	CHECK_EQ(ring.receiver().get(one), 0);
}

bool three(int &item)
{
	item = 3;
	return true;
}

/* Rung since the last look? */
template <class S> bool was_rung(S tx)
{
	return tx.clear() == 1;
}

TEST(cxx_put_and_each_arm_where_they_fall_short)
{
	peal::local<int> ring(1);
	auto tx = ring.sender();
	auto rx = ring.receiver();
	int item = 0, last = static_cast<int>(tx.capacity());
	auto fill = [&](int &to) {
		to = 7;
		return true;
	};

	CHECK_EQ(tx.each(tx.capacity(), fill), last);
	CHECK_EQ(rx.get(item), 1);
	CHECK(!was_rung(tx));
	CHECK_EQ(tx.each(2, fill), 1);
	CHECK_EQ(rx.get(item), 1);
	CHECK(was_rung(tx));
	CHECK_EQ(tx.put(7), 1);
	CHECK_EQ(tx.put(7), 0);
	CHECK_EQ(rx.get(item), 1);
	CHECK(was_rung(tx));
	CHECK_EQ(tx.put(7), 1);
	CHECK(!tx.try_reserve());
	CHECK_EQ(rx.get(item), 1);
	CHECK(!was_rung(tx));
	/* What ends it is no lack of room. */
	try {
		tx.each(2, [](int &) -> bool { throw 1; });
	} catch (int) {
	}
	CHECK_EQ(rx.get(item), 1);
	CHECK(!was_rung(tx));
}

TEST(cxx_a_message_that_falls_short_arms_for_its_room)
{
	peal::local<peal::message> ring(4096);
	auto tx = ring.sender();
	auto rx = ring.receiver();
	std::string large(tx.max() / 2, 'm');

	while (tx.send(1, large, peal::at_once) == 0)
		;
	CHECK_EQ(tx.send(1, large, peal::at_once), -ETIMEDOUT);
	CHECK(!was_rung(tx));
	CHECK_EQ(rx.release(rx.peek()), 0);
	CHECK(was_rung(tx));
	CHECK_EQ(tx.send(1, large, 0ms), 0);
	CHECK(!tx.reserve(large.size()));
	CHECK_EQ(rx.release(rx.peek()), 0);
	CHECK(was_rung(tx));
}

TEST(cxx_an_exception_in_a_walk_ends_it_behind_what_was_done)
{
	peal::local<int> ring(16);
	int n = 0, caught = 0;

	try {
		ring.sender().each(5, [&](int &item) {
			item = n;
			return n++ < 3 ? true : throw 1;
		});
	} catch (int thrown) {
		caught += thrown;
	}
	CHECK_EQ(ring.receiver().used(), 3);
	try {
		ring.receiver().each(5, [](const int &item) {
			return item < 2 ? true : throw 2;
		});
	} catch (int thrown) {
		caught += thrown;
	}
	CHECK_EQ(caught, 3);
	CHECK_EQ(ring.receiver().peek()[0], 2);
	CHECK_EQ(ring.sender().each(2, three), 2);
}

TEST(cxx_what_was_moved_away_is_nothing)
{
	peal::memory memory("memory", 4096, 4096), kept(std::move(memory));
	peal::blob blob("blob", 10), filled(std::move(blob));
	peal::local<int> ring(16), other(std::move(ring));

	CHECK_EQ(memory.fd(), -1);
	CHECK_EQ(memory.seal(), -EINVAL);
	CHECK_EQ(blob.fd(), -1);
	CHECK_EQ(blob.seal(), -EINVAL);
	ring.sender().hangup();
	ring.receiver().hangup();
	CHECK_EQ(ring.sender().put(1), -EPIPE);
	CHECK_EQ(ring.receiver().wait().error(), -EPIPE);
	CHECK_EQ(other.sender().put(1), 1);
}

TEST(cxx_ends_of_a_ring_in_any_memory_are_owned_and_can_be_moved)
{
	alignas(4096) static std::byte memory[64 * 1024];
	peal::shape shape(64, "tick/1");
	peal::doorbell data, space;

	CHECK(peal::ring<tick>::size(shape) <= sizeof(memory));
	peal::ring<tick> ring(shape, memory);
	peal::ring<tick> same = peal::ring<tick>::open(shape, memory);
	peal::receiver<tick> rx(same, &data, &space);
	{
		peal::sender<tick> made(ring, &data, &space);
		peal::sender<tick> tx = std::move(made);

		CHECK_EQ(tx.put(tick{ 1, 2.5 }), 1);
		CHECK_EQ(data.wait(peal::at_once), -ETIMEDOUT);
		tx.drain(peal::at_once);
	}
	peal::receiver<tick> moved = std::move(rx);
	peal::receiver_ref<tick> ref = moved;

	CHECK(ref.wait()[0].price == 2.5);
	CHECK_EQ(moved.release(1), 0);
	/* The sender's end was the end of the stream. */
	auto end = moved.wait();
	CHECK(!end && end.error() == 0);
}

TEST(cxx_a_ring_of_another_shape_is_not_opened)
{
	alignas(4096) static std::byte memory[64 * 1024];
	peal::ring<tick> ring({ 64, "tick/1" }, memory);

	CHECK_EQ(thrown([] {
			 peal::ring<tick>::open({ 64, "tick/2" }, memory);
		 }),
		 EPROTOTYPE);
	CHECK_EQ(thrown([] { peal::ring<int>::open(64, memory); }), EPROTOTYPE);
	CHECK_EQ(thrown([] { peal::ring<int> small(1 << 20, memory); }),
		 ENOSPC);
	CHECK_EQ(thrown([] {
			 peal::ring<int> odd(
				 4, peal::span<std::byte>(memory).from(1));
		 }),
		 EINVAL);
	CHECK_EQ(thrown([] { peal::local<int> none(0); }), EINVAL);
	CHECK_EQ(thrown([] {
			 peal::local<int> tag({ 1, std::string(64, 'x') });
		 }),
		 EINVAL);
}

TEST(cxx_a_local_ring_can_be_moved_with_what_is_in_it)
{
	peal::local<int> made(16);

	made.sender().put(5);
	made.receiver().wait(); /* has an fd of its own then */
	peal::local<int> ring = std::move(made), other(16);
	other.sender().put(6);
	other = std::move(ring);

	int item = 0;
	CHECK_EQ(other.receiver().get(item), 1);
	CHECK_EQ(item, 5);
}

TEST(cxx_a_ring_across_fork)
{
	peal::local<int> ring(16);
	long sum = 0;

	pid_t pid = test_fork(
		[](void *arg) {
			auto &r = *static_cast<peal::local<int> *>(arg);

			for (int i = 0; i < 1000; i++) {
				r.sender().wait()[0] = i;
				r.sender().commit(1);
			}
			r.sender().finish();
		},
		&ring);
	while (auto items = ring.receiver().wait()) {
		for (int item : items)
			sum += item;
		ring.receiver().release(items.size());
	}
	test_join(pid);
	CHECK_EQ(sum, 499500);
}

/* -- messages */

TEST(cxx_messages_of_any_size_arrive_in_order)
{
	peal::local<peal::message> ring({ 1 << 16, "chat/1" });
	std::uint64_t seed = test_seed() | 1;

	std::thread thread([tx = ring.sender(), seed]() mutable {
		for (std::uint32_t i = 0; i < 2000; i++) {
			std::size_t n = test_random(&seed) % tx.max();
			auto room = tx.wait(n);

			CHECK(room && room.size() == n);
			std::fill(room.begin(), room.end(), std::byte(i));
			CHECK_EQ(tx.commit(i, n), 0);
		}
		tx.finish();
	});
	std::uint32_t expected = 0;
	while (auto m = ring.receiver().receive()) {
		CHECK_EQ(m.kind(), expected);
		for (std::byte b : m.data())
			CHECK(b == std::byte(expected));
		CHECK_EQ(ring.receiver().release(m), 0);
		expected++;
	}
	thread.join();
	CHECK_EQ(expected, 2000);
}

TEST(cxx_messages_are_batched_walked_and_abandoned)
{
	peal::local<peal::message> ring(4096);
	auto tx = ring.sender();
	auto rx = ring.receiver();

	CHECK(tx.try_reserve(8));
	CHECK_EQ(tx.stage(1, 8), 0);
	CHECK(tx.reserve(0)); /* of no bytes, and yet there is room */
	CHECK_EQ(tx.stage(2, 0), 0);
	CHECK(!rx.peek());
	CHECK_EQ(tx.publish(), 0);
	CHECK(tx.reserve(8));
	tx.abandon();
	CHECK_EQ(tx.commit(3, 8), -EINVAL);
	CHECK_EQ(tx.reserve(1 << 20).error(), -EMSGSIZE);
	CHECK_EQ(tx.send(3, "three"), 0);

	auto first = rx.peek(), second = rx.next(first);
	CHECK(second && second.kind() == 2 && second.data().empty());
	CHECK_EQ(rx.release(second), 0);
	CHECK_EQ(rx.release(first), -EINVAL);
	auto third = rx.receive(1s);
	CHECK(third.text() == "three");
	CHECK_EQ(rx.release(third), 0);
	CHECK_EQ(rx.receive(peal::at_once).error(), -ETIMEDOUT);
	CHECK(!rx.next(third) && rx.next(third).error() == 0);
}

} // namespace
