/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The headers for C++: the reactor and what it watches. */
#include <csignal>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/eventfd.h>
#include <unistd.h>

#include <peal/peal.hpp>

#include "fixtures/harness.h"

using namespace std::chrono_literals;

namespace
{

template <class F> int thrown(F &&call)
{
	try {
		call();
	} catch (const std::system_error &e) {
		return e.code().value();
	}
	return 0;
}

TEST(cxx_one_reactor_receives_from_many_threads)
{
	constexpr int n = 4, items = 5000;
	peal::reactor_of<n> loop;
	std::deque<peal::local<int>> rings;
	std::vector<std::thread> threads;
	long sum = 0;
	int open = n;

	auto readable = [&](peal::receiver_ref<int> rx) {
		for (int item; rx.get(item) > 0;)
			sum += item;
	};
	auto closed = [&](int reason) {
		CHECK_EQ(reason, 0);
		if (--open == 0)
			loop.stop();
	};
	using source =
		peal::on_readable<int, decltype(readable), decltype(closed)>;
	std::deque<source> sources;

	for (int i = 0; i < n; i++) {
		rings.emplace_back(64);
		sources.emplace_back(loop, rings.back().receiver(), readable,
				     closed);
		threads.emplace_back([tx = rings.back().sender()] {
			for (int item = 0; item < items; item++) {
				tx.wait()[0] = item;
				tx.commit(1);
			}
			tx.finish();
		});
	}
	loop.run();
	for (std::thread &thread : threads)
		thread.join();
	CHECK_EQ(sum, n * (items * (items - 1L) / 2));
	CHECK(loop.stats().callbacks > 0);
}

TEST(cxx_verdicts_are_heeded_and_nothing_is_done)
{
	peal::reactor_of<1> loop;
	peal::local<int> ring(16);
	std::string calls;
	peal::on_readable source(loop, ring.receiver(), [&](auto rx) -> long {
		calls += std::to_string(rx.used());
		rx.release(1);
		if (rx.used() == 2)
			return peal::more;
		return rx.used() == 1 ? peal::wait_for(3) : peal::done;
	});

	for (int i = 0; i < 3; i++)
		ring.sender().put(i);
	while (loop.run_once(peal::at_once) > 0)
		;
	CHECK(calls == "32"); /* it waits for 3 */
	ring.sender().put(4);
	CHECK_EQ(loop.run_once(peal::at_once), 0);
	ring.sender().put(5);
	while (loop.run_once(peal::at_once) > 0)
		;
	CHECK(calls.substr(0, 3) == "323");
	CHECK_EQ(source.stats().callbacks, calls.size());
	source.remove();
	ring.sender().put(6);
	CHECK_EQ(loop.run_once(peal::at_once), 0);
}

TEST(cxx_a_sender_on_a_reactor_is_told_of_room)
{
	peal::reactor_of<2> loop;
	peal::local<int> ring(4);
	std::size_t capacity = ring.sender().capacity();
	int next = 0, expected = 0, last = static_cast<int>(3 * capacity);
	peal::on_writable source(loop, ring.sender(), [&](auto tx) {
		while (next < last && tx.reserve()) {
			tx.reserve()[0] = next++;
			tx.commit(1);
		}
		if (next == last)
			tx.finish();
	});
	peal::on_readable other(
		loop, ring.receiver(),
		[&](auto rx) {
			for (int item; rx.get(item) > 0;)
				CHECK_EQ(item, expected++);
		},
		[&](int) { loop.stop(); });

	source.set_band(PEAL_BAND_LOW);
	loop.run();
	CHECK_EQ(expected, last);
}

TEST(cxx_a_put_that_falls_short_is_called_back)
{
	peal::reactor_of<2> loop;
	peal::local<int> ring(4);
	int next = 0, expected = 0;
	int last = static_cast<int>(3 * ring.sender().capacity());
	peal::on_writable source(loop, ring.sender(), [&](auto tx) {
		while (next < last && tx.put(next) > 0)
			next++;
		if (next == last)
			tx.finish();
	});
	peal::on_readable other(
		loop, ring.receiver(),
		[&](auto rx) {
			for (int item; rx.get(item) > 0;)
				CHECK_EQ(item, expected++);
		},
		[&](int) { loop.stop(); });

	loop.run();
	CHECK_EQ(expected, last);
}

TEST(cxx_a_hangup_closes_a_source_with_its_reason)
{
	peal::reactor_of<1> loop;
	peal::local<int> ring(4);
	int reason = 0;
	peal::on_readable source(
		loop, ring.receiver(), [](auto) {},
		[&](int why) { reason = why; });

	CHECK_EQ(source.hangup(-ETIMEDOUT), 0);
	while (loop.run_once(peal::at_once) > 0)
		;
	CHECK_EQ(reason, -ETIMEDOUT);
}

TEST(cxx_sources_take_callbacks_with_and_without_arguments)
{
	peal::reactor_of<16> loop;
	int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC), events = 0, ticks = 0,
	    calls = 0, signals = 0, sum = 0;
	{
		peal::on_event readable(loop, fd, EPOLLIN,
					[&](int ready, std::uint32_t seen) {
						CHECK_EQ(ready, fd);
						CHECK_EQ(seen, EPOLLIN);
						events++;
					});
		peal::timer soon(loop, [&](std::uint64_t n) {
			ticks += static_cast<int>(n);
		});
		peal::timer later(loop, [&] { ticks++; });
		peal::timer never(loop, [&] { CHECK(false); });
		peal::deferred call(loop, [&] { calls++; });
		peal::on_signal usr1(loop, SIGUSR1, [&](auto &info) {
			CHECK_EQ(info.ssi_signo, SIGUSR1);
			signals++;
		});
		peal::on_signal usr2(loop, SIGUSR2, [&] { signals++; });
		auto queue = peal::make_queue<int, 4>(
			loop, [&](int *item) { sum += *item; });
		int five = 5;

		soon.set(1ns);
		later.set_at(std::chrono::steady_clock::now());
		never.set(1h);
		never.cancel();
		call.defer();
		call.defer();
		raise(SIGUSR1);
		raise(SIGUSR2);
		for (int i = 0; i < 4; i++)
			CHECK_EQ(queue.post(&five), 0);
		CHECK_EQ(queue.post(&five), -EAGAIN);
		while (events == 0 || ticks < 2 || calls == 0 || signals < 2 ||
		       sum < 20)
			loop.run_once();
		CHECK_EQ(readable.set_events(0), 0);
	}
	CHECK_EQ(ticks, 2);
	CHECK_EQ(calls, 1);
	CHECK_EQ(sum, 20);
	/* All are gone: nothing is called, and their slots are free. */
	std::deque<peal::deferred<void (*)()>> fill;

	for (int i = 0; i < 16; i++)
		fill.emplace_back(loop, [] {});
	CHECK_EQ(loop.run_once(peal::at_once), 0);
	close(fd);
}

TEST(cxx_the_end_of_a_child_is_told)
{
	peal::reactor_of<1> loop;
	pid_t pid = test_fork([](void *) { _exit(7); }, nullptr);
	peal::on_child child(loop, pid, [&](const peal_exit &how) {
		CHECK_EQ(how.pid, pid);
		CHECK_EQ(how.code, CLD_EXITED);
		CHECK_EQ(how.status, 7);
		loop.stop();
	});

	loop.run();
}

TEST(cxx_a_group_has_one_fd_for_many_rings)
{
	constexpr int n = 8;
	alignas(4096) static std::byte memory[n][16384];
	peal::reactor_of<n + 1> loop;
	peal::group<n> group(loop);
	int before = test_count_fds(), got = 0;
	struct one {
		one(peal::group<n> &group, std::byte (&memory)[16384])
		    : bell(group.bell()), ring(8, memory), tx(ring, &bell),
		      rx(ring, &bell)
		{
		}
		peal::doorbell bell;
		peal::ring<int> ring;
		peal::sender<int> tx;
		peal::receiver<int> rx;
	};
	std::deque<one> all;
	auto readable = [&](peal::receiver_ref<int> rx) {
		for (int item; rx.get(item) > 0;)
			got += item;
	};
	std::deque<peal::on_readable<int, decltype(readable)>> sources;

	for (auto &m : memory) {
		all.emplace_back(group, m);
		sources.emplace_back(loop, all.back().rx, readable);
	}
	CHECK_EQ(thrown([&] { group.bell(); }), ENOSPC);
	CHECK_EQ(test_count_fds(), before);
	for (one &o : all)
		o.tx.put(1);
	while (got < n)
		loop.run_once();
}

TEST(cxx_an_exception_in_a_callback_ends_run_and_is_thrown_there)
{
	peal::reactor_of<4> loop;
	std::string said;
	int calls = 0;
	peal::deferred call(loop, [&] {
		calls++;
		throw std::runtime_error("out of tune");
	});
	peal::deferred other(loop, [&] { calls++; });

	for (int i = 0; i < 2; i++) {
		call.defer();
		other.defer();
		try {
			loop.run();
		} catch (const std::runtime_error &e) {
			said += e.what();
		}
	}
	CHECK(said == "out of tuneout of tune");
	CHECK_EQ(calls, 4);
	call.defer();
	try {
		said.clear();
		loop.run_once(peal::at_once);
		loop.dispatch();
	} catch (const std::runtime_error &e) {
		said = e.what();
	}
	CHECK(said == "out of tune");
	/* And it has not stopped the next run. */
	peal::timer end(loop, [&] { loop.stop(); });
	int before = calls;
	end.set(1ms);
	loop.run();
	CHECK_EQ(calls, before);
}

TEST(cxx_run_in_a_callback_is_refused_and_the_outer_one_throws_that)
{
	peal::reactor_of<4> loop;
	peal::deferred call(loop, [&] { loop.run(); });

	call.defer();
	CHECK_EQ(thrown([&] { loop.run(); }), EBUSY);
}

TEST(cxx_an_exception_from_before_run_is_thrown_there)
{
	peal::reactor_of<4> loop;
	int caught = 0;

	CHECK_EQ(loop.guard(7, []() -> int { throw 5; }), 7);
	try {
		loop.run();
	} catch (int item) {
		caught = item;
	}
	CHECK_EQ(caught, 5);
}

TEST(cxx_of_several_exceptions_in_one_round_none_is_dropped)
{
	peal::reactor_of<4> loop;
	std::string caught;
	int calls = 0;
	auto throws = [&](int n) {
		return [&calls, n] {
			calls++;
			throw n;
		};
	};
	peal::deferred a(loop, throws(1)), b(loop, throws(2)),
		c(loop, throws(3));
	auto once = [&](auto &&serve) {
		try {
			serve();
		} catch (int n) {
			caught += std::to_string(n);
		}
	};

	a.defer();
	b.defer();
	c.defer();
	once([&] { loop.run(); });
	CHECK_EQ(calls, 3);
	a.defer(); /* is served when they have been told */
	once([&] { loop.run_once(); });
	once([&] { loop.dispatch(); });
	CHECK_EQ(calls, 3);
	CHECK(caught == "123");
	once([&] { loop.run_once(peal::at_once); });
	CHECK_EQ(calls, 4);
	CHECK(caught == "1231");
	/* And all is as it was before. */
	loop.stop();
	once([&] { loop.run(); });
	once([&] { CHECK_EQ(loop.run_once(peal::at_once), 0); });
	CHECK(caught == "1231");
}

TEST(cxx_a_call_that_was_removed_says_so)
{
	peal::reactor_of<1> loop;
	peal::deferred call(loop, [] {});

	CHECK_EQ(call.defer(), 0);
	CHECK_EQ(call.remove(), 0);
	CHECK_EQ(call.defer(), -EINVAL);
	CHECK_EQ(loop.run_once(peal::at_once), 0);
}

TEST(cxx_a_source_may_end_in_its_own_callback)
{
	peal::reactor_of<2> loop;
	struct once {
		virtual ~once() = default;
	};
	std::unique_ptr<once> held;
	auto f = [&held, &loop] {
		peal::reactor &still = loop; /* this callable is gone then */

		held.reset();
		still.stop();
	};
	struct deferred : once {
		deferred(peal::reactor &l, decltype(f) g) : source(l, g)
		{
		}
		peal::deferred<decltype(f)> source;
	};
	auto made = std::make_unique<deferred>(loop, f);

	made->source.defer();
	held = std::move(made);
	loop.run();
	CHECK(!held);
}

/* Who ends, begins and throws whatever chance has it, in callbacks. */
struct crowd {
	struct member {
		virtual ~member() = default;
	};
	struct act {
		crowd &all;
		member *self;

		template <class... A> void operator()(A &&...)
		{
			all.act_up(self);
		}
	};
	struct beat : member {
		explicit beat(crowd &all) : t(all.loop, act{ all, this })
		{
			t.set(std::chrono::microseconds(
				      1 + test_random(&all.seed) % 100),
			      100us);
		}
		peal::timer<act> t;
	};
	struct call : member {
		explicit call(crowd &all) : d(all.loop, act{ all, this })
		{
			d.defer();
		}
		peal::deferred<act> d;
	};
	struct flow : member {
		explicit flow(crowd &all)
		    : rx(all.loop, ring.receiver(), act{ all, this },
			 act{ all, this }),
		      tx(all.loop, ring.sender(), act{ all, this },
			 act{ all, this })
		{
			ring.sender().put(1);
			if (test_random(&all.seed) % 3 == 0)
				ring.sender().finish();
		}
		peal::local<int> ring{ 16 };
		peal::on_readable<int, act, act> rx;
		peal::on_writable<int, act, act> tx;
	};

	unsigned chance(unsigned n)
	{
		return static_cast<unsigned>(test_random(&seed) % n);
	}
	void begin()
	{
		if (members.size() >= 16)
			return;
		switch (chance(3)) {
		case 0:
			members.push_back(std::make_unique<beat>(*this));
			break;
		case 1:
			members.push_back(std::make_unique<call>(*this));
			break;
		default:
			members.push_back(std::make_unique<flow>(*this));
		}
	}
	void end(const member *which)
	{
		for (auto &m : members) {
			if (m.get() != which)
				continue;
			std::swap(m, members.back());
			members.pop_back();
			return;
		}
	}
	void act_up(const member *self)
	{
		calls++;
		switch (chance(6)) {
		case 0:
			end(self);
			break;
		case 1:
			end(members[chance(static_cast<unsigned>(
					    members.size()))]
				    .get());
			break;
		case 2:
			begin();
			break;
		case 3:
			throw calls;
		default:
			break;
		}
	}

	uint64_t seed = test_seed();
	long calls = 0;
	peal::reactor_of<64> loop;
	std::vector<std::unique_ptr<member>> members;
};

TEST(cxx_sources_may_begin_and_end_in_each_others_callbacks)
{
	crowd all;
	int caught = 0;

	while (all.calls < 3000) {
		while (all.members.size() < 4)
			all.begin();
		try {
			if (all.loop.run_once(10ms) == 0)
				all.members.clear(); /* all is quiet */
		} catch (long) {
			caught++;
		}
	}
	CHECK(caught > 0);
}

TEST(cxx_a_reactor_fits_into_another_loop_by_its_fd)
{
	peal::reactor_of<4> inner, outer;
	peal::local<int> ring(4);
	int got = 0;
	peal::on_readable source(inner, ring.receiver(), [&](auto rx) {
		rx.get(got);
		outer.stop();
	});
	peal::on_event plug(outer, inner.fd(), EPOLLIN,
			    [&] { inner.dispatch(); });

	std::thread thread([tx = ring.sender()] { tx.put(42); });
	outer.run();
	thread.join();
	CHECK_EQ(got, 42);
}

TEST(cxx_what_cannot_be_added_is_an_exception)
{
	peal::reactor_of<1> loop;
	peal::timer only(loop, [] {});
	std::optional<peal::deferred<void (*)()>> second;
	peal::span<peal_slot> none;

	CHECK_EQ(thrown([&] { second.emplace(loop, [] {}); }), ENOSPC);
	CHECK(!second);
	only.remove();
	second.emplace(loop, [] {});
	CHECK_EQ(thrown([&] { peal::reactor empty(none); }), EINVAL);
	CHECK_EQ(thrown([&] { peal::on_signal kill(loop, SIGKILL, [] {}); }),
		 EINVAL);
}

} // namespace
