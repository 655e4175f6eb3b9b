/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The same in C++17: sensors send their readings to a station, which finds the
 * highest and ends when all have ended. They are threads here and may as well
 * be processes, since they meet at an address.
 *
 *	c++ -std=c++17 09_cxx.cc $(pkg-config --cflags --libs peal) -pthread
 */
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <peal/peal.hpp>

using namespace std::chrono_literals;

namespace
{

constexpr int sensors = 3;
constexpr int readings = 10000;

struct reading {
	int time;
	double celsius;
};

/* A constructor throws; what may happen at any time is a value. */
void sense(const std::string &address, int number)
{
	std::string name = "sensor " + std::to_string(number);
	peal::hello hello;

	hello.tag = "reading/1";
	hello.name = name;
	peal::channel<reading> station(address.c_str(), hello, 5s);

	for (int i = 0; i < readings;) {
		auto room = station.sender().wait();

		if (!room) {
			std::fprintf(stderr, "the station is gone: %s\n",
				     std::strerror(-room.error()));
			return;
		}
		/* As many as there is room for, in place, as one batch. */
		auto n = std::min<std::size_t>(room.size(), readings - i);
		for (reading &r : room.first(n)) {
			r = { i, number + 20 * std::sin(i * 0.001) };
			i++;
		}
		station.sender().commit(n);
	}
}

struct station {
	using channel = peal::channel_ref<void, reading>;

	void on_readable(channel ch)
	{
		auto items = ch.receiver().peek();

		for (const reading &r : items)
			highest = std::max(highest, r.celsius);
		count += items.size();
		ch.receiver().release(items.size());
	}
	void on_closed(channel ch, int reason)
	{
		if (reason < 0)
			std::printf("%s: %s\n", ch.name().data(),
				    std::strerror(-reason));
		if (--open == 0)
			loop.stop();
	}

	peal::reactor &loop;
	double highest = -273;
	std::size_t count = 0;
	int open = sensors;
};

void run()
{
	std::string address = "@peal-station-" + std::to_string(getpid());
	peal::reactor_of<PEAL_SERVER_SLOTS(sensors) + 1> loop;
	peal_service service{};
	std::vector<std::thread> threads;

	std::snprintf(service.accept.tag, sizeof(service.accept.tag),
		      "reading/1");
	auto server = peal::serve<sensors, reading>(loop, address.c_str(),
						    station{ loop }, service);
	peal::timer patience(loop, [&] {
		std::puts("some sensor is slow");
		loop.stop();
	});
	patience.set(20s);

	for (int i = 0; i < sensors; i++)
		threads.emplace_back(sense, address, i);
	loop.run();
	for (std::thread &thread : threads)
		thread.join();
	std::printf("%d sensors, %zu readings, the highest is %.1f\n", sensors,
		    server.handler().count, server.handler().highest);
}

} // namespace

int main()
try {
	run();
} catch (const std::exception &e) {
	std::fprintf(stderr, "%s\n", e.what());
	return 1;
}
