/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The headers for C++: channels and inboxes. */
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include <peal/peal.hpp>

#include "fixtures/harness.h"

using namespace std::chrono_literals;

namespace
{

/* An address of this test alone. */
std::string address()
{
	return "@peal-cxx-" + std::to_string(getpid());
}

template <class F> int thrown(F &&call, std::string *said = nullptr)
{
	try {
		call();
	} catch (const std::system_error &e) {
		if (said)
			*said = e.what();
		return e.code().value();
	}
	return 0;
}

struct pair_of_sockets {
	pair_of_sockets()
	{
		CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				    fds),
			 0);
	}
	~pair_of_sockets()
	{
		close(fds[0]);
		close(fds[1]);
	}
	int fds[2];
};

TEST(cxx_clients_send_to_a_server_of_lambdas)
{
	constexpr int clients = 3, items = 1000;
	peal::reactor_of<PEAL_SERVER_SLOTS(clients)> loop;
	std::string at = address();
	std::vector<std::thread> threads;
	double sum = 0;
	int closed = 0;
	auto server = peal::serve<clients, double>(
		loop, at.c_str(),
		peal::receiving{ [&](auto ch) {
					for (double x;
					     ch.receiver().get(x) > 0;)
						sum += x;
				},
				 [&](auto, int reason) {
					 CHECK_EQ(reason, 0);
					 if (++closed == clients)
						 loop.stop();
				 } });

	for (int i = 0; i < clients; i++)
		threads.emplace_back([&at] {
			peal::channel<double> ch(at.c_str(), {}, 10s);

			for (int n = 0; n < items; n++) {
				ch.sender().wait()[0] = 0.5;
				ch.sender().commit(1);
			}
		});
	loop.run();
	for (std::thread &thread : threads)
		thread.join();
	CHECK(sum == clients * items * 0.5);
	CHECK_EQ(server.stats().opened, clients);
}

/* Doubles what it is sent; keeps a count for each channel; picks its clients.
 */
struct doubler {
	using channel = peal::channel_ref<long, int>;

	explicit doubler(peal::reactor &l) : loop(l)
	{
	}
	bool admit(const peal_hello &h, const peal_peer &peer, const char *&why)
	{
		CHECK(peer.trusted);
		why = "no violas";
		return std::string(h.name) != "viola";
	}
	void on_open(channel ch)
	{
		log += "open " + std::string(ch.name()) + ", ";
	}
	void on_readable(channel ch)
	{
		for (int i; ch.receiver().get(i) > 0;)
			ch.sender().put(2L * i);
	}
	void on_ended(channel ch)
	{
		log += "ended, ";
		ch.sender().finish();
	}
	void on_closed(channel, int reason)
	{
		log += "closed " + std::to_string(reason);
		loop.stop();
	}
	void on_refused(const peal_peer &, int reason, const char *text)
	{
		log += std::string(text) + " " + std::to_string(reason) + ", ";
	}

	peal::reactor &loop;
	std::string log;
};

TEST(cxx_a_handler_sees_all_of_a_channels_life)
{
	peal::reactor_of<PEAL_SERVER_SLOTS(2)> loop;
	std::string at = address(), said;
	auto server = peal::serve<2, int, long>(loop, at.c_str(),
						doubler(loop));
	long got = 0;
	int error = 0;

	std::thread thread([&] {
		peal::hello viola, cello;

		viola.name = "viola";
		cello.name = "cello";
		cello.capacity = 100;
		error = thrown(
			[&] {
				peal::channel<int, long> no(at.c_str(), viola,
							    10s);
			},
			&said);
		peal::channel<int, long> ch(at.c_str(), cello, 10s);
		ch.sender().put(21);
		got = ch.receiver().wait()[0];
		ch.receiver().release(1);
		ch.sender().finish();
		CHECK(!ch.receiver().wait());
	});
	loop.run();
	thread.join();
	CHECK_EQ(error, EPERM);
	CHECK(said.find("no violas") != std::string::npos);
	CHECK_EQ(got, 42);
	test_note("%s", server.handler().log.c_str());
	CHECK(server.handler().log ==
	      "no violas -1, open cello, ended, closed 0");
}

TEST(cxx_a_client_on_a_reactor_is_called_back)
{
	peal::reactor_of<PEAL_SERVER_SLOTS(1) + PEAL_CHANNEL_SLOTS> loop;
	std::string at = address(), text;
	auto server = peal::serve<1, peal::message>(
		loop, at.c_str(),
		peal::receiving{ [&](auto ch) {
					while (auto m = ch.receiver().peek()) {
						text += m.text();
						ch.receiver().release(m);
					}
				},
				 [&](auto, int) { loop.stop(); } });
	auto client = peal::connect_on<peal::message>(
		loop, at.c_str(), peal::sending{ [](auto ch) {
			ch.sender().send(1, "to", peal::at_once);
			ch.sender().send(1, "gether", peal::at_once);
			ch.sender().finish();
		} });

	loop.run();
	CHECK(text == "together");
	CHECK_EQ(server.index_of(decltype(server)::channel_type(
			 server.c()->service.channels)),
		 0);
}

TEST(cxx_an_exception_of_a_handler_reaches_run)
{
	peal::reactor_of<PEAL_SERVER_SLOTS(1)> loop;
	std::string at = address();
	auto server = peal::serve<1, int>(loop, at.c_str(),
					  peal::receiving{ [](auto ch) {
						  int item;

						  ch.receiver().get(item);
						  throw item;
					  } });
	int caught = 0;
	std::thread thread([&at] {
		peal::channel<int> ch(at.c_str(), {}, 10s);

		ch.sender().put(7);
	});

	try {
		loop.run();
	} catch (int item) {
		caught = item;
	}
	thread.join();
	CHECK_EQ(caught, 7);
}

/* Over the socket, where both ends wait on one bell. */
TEST(cxx_a_channel_can_be_moved_and_goes_on)
{
	pair_of_sockets sockets;

	pid_t pid = test_fork(
		[](void *arg) {
			auto *fds = static_cast<int *>(arg);
			auto ch = peal::channel<long, int>::accept(
				fds[0], false, {}, 10s);

			for (int i; ch.receiver().wait();) {
				ch.receiver().get(i);
				CHECK(ch.sender().wait());
				ch.sender().put(2L * i);
			}
		},
		sockets.fds);
	auto made = peal::channel<int, long>::connect(sockets.fds[1], {}, 10s);
	CHECK_EQ(peal_channel_bells(made.c()), PEAL_DOORBELL_SOCKET);
	for (int i = 0; i < 100; i++) {
		peal::channel<int, long> ch = std::move(made);

		/* Or one would take the other's bell, now and then. */
		CHECK(ch.c()->sender.end.bell.sibling == &ch.c()->receiver.end);
		CHECK(ch.c()->receiver.end.bell.sibling == &ch.c()->sender.end);
		CHECK(ch.sender().wait());
		CHECK_EQ(ch.sender().put(i), 1);
		CHECK_EQ(ch.receiver().wait()[0], 2 * i);
		ch.receiver().release(1);
		CHECK_EQ(ch.ref().check(), 0);
		made = std::move(ch);
	}
	made.sender().finish();
	CHECK(!made.receiver().wait());
	test_join(pid);
}

TEST(cxx_who_serves_other_items_says_so)
{
	peal::reactor_of<PEAL_SERVER_SLOTS(1)> loop;
	std::string at = address(), said;
	auto server = peal::serve<1, double>(loop, at.c_str(),
					     peal::receiving{ [](auto) {} });
	int error = 0;
	std::thread thread([&] {
		error = thrown(
			[&] { peal::channel<char> ch(at.c_str(), {}, 10s); },
			&said);
		loop.stop();
	});

	loop.run();
	thread.join();
	test_note("%s", said.c_str());
	CHECK_EQ(error, EPROTOTYPE);
	CHECK_EQ(thrown([] { peal::channel<int> ch("/nowhere/peal"); }),
		 ENOENT);
	CHECK_EQ(thrown([&] {
			 peal::serve<1, int>(loop, "/nowhere/peal",
					     peal::receiving{ [](auto) {} });
		 }),
		 ENOENT);
}

/* -- inboxes */

TEST(cxx_an_inbox_has_the_letters_of_all_senders)
{
	auto inbox = std::make_unique<peal::inbox<4>>(address().c_str());
	std::vector<std::thread> threads;
	std::string at = address();
	int letters = 0;
	std::size_t length = 0;

	for (const char *name : { "cello", "viola" })
		threads.emplace_back([name, &at] {
			peal::outbox made(at.c_str(), name, 10s);
			peal::outbox out = std::move(made);

			for (std::uint32_t i = 0; i < 100; i++)
				CHECK_EQ(out.send(i, name), 0);
			auto room = out.reserve(3);
			CHECK(room.size() == 3);
			room[0] = room[1] = room[2] = std::byte{ 'x' };
			CHECK_EQ(out.commit(100, 3), 0);
			CHECK_EQ(out.reserve(out.max() + 1).error(), -EMSGSIZE);
			CHECK_EQ(out.close(10s), 0);
		});
	while (letters < 202) {
		auto letter = inbox->receive(10s);

		CHECK(letter);
		CHECK(letter.text() == "xxx" || letter.text() == letter.from());
		CHECK_EQ(letter.peer().pid, getpid());
		length += letter.data().size();
		letters++;
	}
	CHECK_EQ(length, 2 * (500 + 3));
	for (std::thread &thread : threads)
		thread.join();
	CHECK_EQ(inbox->receive(peal::at_once).error(), -ETIMEDOUT);
}

TEST(cxx_one_letter_at_a_time_is_lent)
{
	auto inbox = std::make_unique<peal::inbox<2>>(address().c_str());
	std::string at = address();
	std::thread thread([&at] {
		peal::outbox out(at.c_str(), nullptr, 10s);

		out.send(1, "one");
		out.send(2, "two");
		out.flush(10s);
	});
	peal::letter first = inbox->receive(10s), kept = std::move(first);

	CHECK(!first);
	CHECK_EQ(inbox->receive(peal::at_once).error(), -EBUSY);
	CHECK(kept.text() == "one");
	CHECK_EQ(kept.release(), 0);
	kept = inbox->receive(10s);
	CHECK_EQ(kept.kind(), 2);
	kept = peal::letter();
	thread.join();
}

TEST(cxx_an_inbox_on_a_reactor_has_callbacks_of_its_own)
{
	peal::reactor_of<PEAL_INBOX_SLOTS(1)> loop;
	peal_inbox_options options{};

	options.user = &loop;
	CHECK_EQ(thrown([&] {
			 peal::make_inbox<1>(
				 loop, address().c_str(), [](auto &) {},
				 options);
		 }),
		 EINVAL);
}

TEST(cxx_an_inbox_on_a_reactor_calls_back)
{
	peal::reactor_of<PEAL_INBOX_SLOTS(2)> loop;
	std::string at = address(), text;
	auto inbox = peal::make_inbox<2>(loop, at.c_str(), [&](auto &in) {
		while (auto letter = in.receive())
			text += letter.text();
		if (text == "hello")
			loop.stop();
	});
	std::thread thread([&at] {
		peal::outbox out(at.c_str(), "me", 10s);

		out.send(0, "hel");
		out.send_when_empty(0, "lo", 10s);
		out.flush(10s);
	});

	loop.run();
	thread.join();
	CHECK(text == "hello");
	CHECK_EQ(inbox.stats().opened, 1);
}

TEST(cxx_no_inbox_is_an_exception)
{
	std::string said;

	CHECK_EQ(thrown([] { peal::outbox out("/nowhere/peal", "me", 1ms); },
			&said),
		 ENOENT);
	CHECK(said == std::string("/nowhere/peal: ") + strerror(ENOENT));
	CHECK_EQ(thrown([] { peal::inbox<1> in("/nowhere/peal"); }), ENOENT);
}

} // namespace
