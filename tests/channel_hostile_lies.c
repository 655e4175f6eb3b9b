/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Answers, memory, geometry and doorbells that are not what they should be. */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "../ring/internal.h"
#include "channel_hostile_lies.h"
#include "fixtures/harness.h"
#include "fixtures/memory.h"

/* -- answers */

static void honest(struct lie *lie)
{
	(void)lie;
}

static void say_nothing(struct lie *lie)
{
	lie->times = 0;
	lie->hold = true;
}

static void hang_up_early(struct lie *lie)
{
	lie->times = 0;
}

static void cut(struct lie *lie)
{
	lie->size -= 1;
}

static void stretch(struct lie *lie)
{
	lie->size += 1;
}

static void say_it_empty(struct lie *lie)
{
	lie->size = 0;
}

static void scramble(struct lie *lie)
{
	uint64_t random = test_seed();

	for (size_t i = 0; i < sizeof(lie->answer); i++)
		((unsigned char *)&lie->answer)[i] =
			(unsigned char)test_random(&random);
}

static void speak_another_version(struct lie *lie)
{
	lie->answer.start.version++;
}

static void speak_another_byte_order(struct lie *lie)
{
	lie->answer.start.magic = __builtin_bswap64(lie->answer.start.magic);
}

static void refuse_with_escapes(struct lie *lie)
{
	lie->answer.start.status = -EPERM;
	memset(lie->answer.start.text, '\033', PEAL_TEXT);
}

static void refuse_with_fds(struct lie *lie)
{
	lie->answer.start.status = -EPERM;
}

static void answer_positively(struct lie *lie)
{
	lie->answer.start.status = 1;
}

static void answer_with_an_impossible_errno(struct lie *lie)
{
	lie->answer.start.status = INT32_MIN;
}

static void know_other_bells(struct lie *lie)
{
	lie->answer.bells = 77;
}

static void say_socket_and_send_bells(struct lie *lie)
{
	lie->answer.bells = PEAL_DOORBELL_SOCKET;
}

static void send_no_fds(struct lie *lie)
{
	lie->n_fds = 0;
}

static void send_too_few(struct lie *lie)
{
	lie->n_fds = 2;
}

static void send_one_too_many(struct lie *lie)
{
	lie->fds[lie->n_fds++] = lie->fds[1];
}

static void send_twelve(struct lie *lie)
{
	while (lie->n_fds < 12)
		lie->fds[lie->n_fds++] = lie->fds[1];
}

static void answer_twice(struct lie *lie)
{
	lie->times = 2;
}

/* -- memory that is not what it says */

static void put_memory(struct lie *lie, int fd)
{
	CHECK(fd >= 0);
	lie->fds[0] = fd;
}

static void null_for_memory(struct lie *lie)
{
	put_memory(lie, open("/dev/null", O_RDWR | O_CLOEXEC));
}

static void pipe_for_memory(struct lie *lie)
{
	int fds[2];

	CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
	put_memory(lie, fds[0]);
}

static void socket_for_memory(struct lie *lie)
{
	put_memory(lie, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static void file_for_memory(struct lie *lie)
{
	int fd = tmpfs_file();

	CHECK_EQ(ftruncate(fd, (off_t)peal_channel_ring_bytes(&lie->made)), 0);
	put_memory(lie, fd);
}

static void seals_for_memory(struct lie *lie, int seals, off_t more)
{
	off_t size = (off_t)peal_channel_ring_bytes(&lie->made) + more;

	put_memory(lie, foreign_memfd((size_t)size, seals));
}

static void unsealed(struct lie *lie)
{
	seals_for_memory(lie, 0, 0);
}

static void shrinkable(struct lie *lie)
{
	seals_for_memory(lie, F_SEAL_GROW, 0);
}

static void smaller(struct lie *lie)
{
	seals_for_memory(lie, F_SEAL_SHRINK | F_SEAL_GROW, -4096);
}

static void larger(struct lie *lie)
{
	seals_for_memory(lie, F_SEAL_SHRINK | F_SEAL_GROW, 4096);
}

static void read_only(struct lie *lie)
{
	seals_for_memory(lie, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, 0);
}

static void sealed_already(struct lie *lie)
{
	seals_for_memory(lie, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, 0);
}

static void frozen(struct lie *lie)
{
	seals_for_memory(lie,
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE |
				 F_SEAL_SEAL,
			 0);
}

static void empty(struct lie *lie)
{
	seals_for_memory(lie, F_SEAL_SHRINK | F_SEAL_GROW, 0);
}

/* Of the right size, so that it is the kind of page that gives it away. */
static void huge_pages(struct lie *lie)
{
	int fd = memfd_create("huge",
			      MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING);

	if (fd < 0) {
		unsealed(lie); /* as good as any, where there are none */
		return;
	}
	(void)!ftruncate(fd, 2 << 20);
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	put_memory(lie, fd);
}

static struct peal_page *page_of(struct lie *lie, bool sender)
{
	return sender ? lie->made.ring.sender_page
		      : lie->made.ring.receiver_page;
}

static void false_header(struct lie *lie)
{
	page_of(lie, true)->header.capacity *= 2;
}

static void false_position(struct lie *lie)
{
	page_of(lie, false)->position = 1;
}

static void finished_ring(struct lie *lie)
{
	page_of(lie, true)->state = PEAL_STATE_FINISHED;
}

/* -- geometry */

static void overflowing(struct lie *lie)
{
	lie->answer.ring[0].capacity = UINT64_C(1) << 61;
}

static void odd_capacity(struct lie *lie)
{
	lie->answer.ring[0].capacity = CAPACITY + 1;
}

static void small_capacity(struct lie *lie)
{
	lie->answer.ring[0].capacity = CAPACITY / 2;
}

static void large_capacity(struct lie *lie)
{
	lie->answer.ring[0].capacity = CAPACITY * 2;
}

static void other_items(struct lie *lie)
{
	lie->answer.ring[0].item_size = 16;
}

static void other_head(struct lie *lie)
{
	lie->answer.ring[0].items_offset = UINT64_MAX - 4095;
}

static void other_flags(struct lie *lie)
{
	lie->answer.ring[0].flags = UINT32_MAX;
}

static void other_mem(struct lie *lie)
{
	lie->answer.ring[0].mem = UINT32_MAX;
}

static void huge_mem(struct lie *lie)
{
	lie->answer.ring[0].mem = PEAL_MEM_HUGE_2M;
}

static void other_tag(struct lie *lie)
{
	strcpy(lie->answer.ring[0].tag, "other/1");
}

static void endless_tag(struct lie *lie)
{
	memset(lie->answer.ring[0].tag, 't', 64);
}

/* -- doorbells */

static void put_bell(struct lie *lie, int fd)
{
	CHECK(fd >= 0);
	lie->fds[2] = fd;
}

static void null_for_a_bell(struct lie *lie)
{
	put_bell(lie, open("/dev/null", O_RDWR | O_CLOEXEC | O_NONBLOCK));
}

static void pipe_for_a_bell(struct lie *lie)
{
	int fds[2];

	CHECK_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	put_bell(lie, fds[1]);
}

static void epoll_for_a_bell(struct lie *lie)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	put_bell(lie, fd);
}

static void timer_for_a_bell(struct lie *lie)
{
	put_bell(lie,
		 timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}

/* The memfd's link in /proc ends like that of an eventfd. */
static void memfd_for_a_bell(struct lie *lie)
{
	int fd = memfd_create("anon_inode:[eventfd]", MFD_CLOEXEC);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	put_bell(lie, fd);
}

/* What FUSE serves looks like this, and hangs; /dev/fuse is its other end. */
static void fuse_for_a_bell(struct lie *lie)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		null_for_a_bell(lie);
	else
		put_bell(lie, fd);
}

static void blocking_bell(struct lie *lie)
{
	put_bell(lie, eventfd(0, EFD_CLOEXEC));
}

static void memory_for_a_bell(struct lie *lie)
{
	lie->fds[1] = lie->fds[0];
}

/* -- the packet that says open */

static void never_open(struct lie *lie)
{
	lie->last_times = 0;
}

static void leave_before_it_opens(struct lie *lie)
{
	lie->last_times = 0;
	lie->leaves = true;
}

static void open_and_leave(struct lie *lie)
{
	lie->leaves = true;
}

static void open_in_one_byte(struct lie *lie)
{
	lie->last_size = 1;
}

static void open_in_no_byte(struct lie *lie)
{
	lie->last_size = 0;
}

static void cut_open(struct lie *lie)
{
	lie->last_size -= 1;
}

static void stretch_open(struct lie *lie)
{
	lie->last_size += 1;
}

static void scramble_open(struct lie *lie)
{
	uint64_t random = test_seed();

	for (size_t i = 0; i < sizeof(lie->last); i++)
		((unsigned char *)&lie->last)[i] =
			(unsigned char)test_random(&random);
}

static void open_with_fds(struct lie *lie)
{
	lie->last_fds[0] = lie->fds[0];
	lie->last_fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
	lie->n_last_fds = 2;
}

static void open_twice(struct lie *lie)
{
	lie->last_times = 2;
}

static void open_before_the_answer(struct lie *lie)
{
	lie->first = true;
}

static void open_in_the_place_of_an_answer(struct lie *lie)
{
	lie->first = true;
	lie->times = 0;
	lie->hold = true;
}

static void open_along_with_the_answer(struct lie *lie)
{
	lie->too_early = true;
}

static void ring_before_it_opens(struct lie *lie)
{
	lie->bells = 3;
}

static void ring_and_never_open(struct lie *lie)
{
	lie->bells = 3;
	lie->last_times = 0;
}

static void open_with(struct lie *lie, int status)
{
	lie->last.open.start.status = status;
	memset(lie->last.open.start.text, '\033', PEAL_TEXT);
}

static void refuse_to_open(struct lie *lie)
{
	open_with(lie, -EPERM);
}

static void open_as_if_to_wait(struct lie *lie)
{
	open_with(lie, -EAGAIN);
}

static void open_positively(struct lie *lie)
{
	open_with(lie, 1);
}

static void open_with_an_impossible_errno(struct lie *lie)
{
	open_with(lie, INT32_MIN);
}

static void open_with_our_own_error(struct lie *lie)
{
	open_with(lie, -EMFILE);
}

static void open_in_another_version(struct lie *lie)
{
	lie->last.open.start.version++;
}

static void open_another_layout(struct lie *lie)
{
	lie->last.open.start.layout++;
}

static void open_in_another_byte_order(struct lie *lie)
{
	lie->last.open.start.magic =
		__builtin_bswap64(lie->last.open.start.magic);
}

static void say_ready_back(struct lie *lie)
{
	lie->last.open.start.magic = PEAL_WIRE_READY;
}

static void answer_once_more(struct lie *lie)
{
	lie->last.answer = lie->answer;
	lie->last_size = sizeof(lie->last.answer);
}

static void say_hello_back(struct lie *lie)
{
	lie->last.hello = lie->hello;
	lie->last_size = sizeof(lie->last.hello);
}

/* The ring is broken before it is open: the ring says so, and not connect. */
static void open_a_broken_ring(struct lie *lie)
{
	page_of(lie, false)->position = 12345;
	lie->too_early = true;
}

static void be_busy_for_ever(struct lie *lie)
{
	lie->answer.start.status = -EBUSY;
	lie->n_fds = 0;
	lie->leaves = true;
}

static void be_busy_when_it_should_open(struct lie *lie)
{
	open_with(lie, -EBUSY);
	lie->leaves = true;
}

/* clang-format off */
#define BAD(text, lie) { "a server " text, lie, -EPROTO, -EPROTO, 0 }
#define LATE(text, lie) { "a server " text, lie, -ETIMEDOUT, -ETIMEDOUT, 0 }

const struct deceit hostile_lies[] = {
	{ "a server that is honest", honest, 0, 0, 0 },
	{ "a server that never answers", say_nothing, -ETIMEDOUT, -ETIMEDOUT,
	  0 },
	{ "a server that hangs up", hang_up_early, -EPIPE, -ETIMEDOUT, 0 },
	BAD("whose answer is short", cut),
	BAD("whose answer is long", stretch),
	BAD("whose answer is empty", say_it_empty),
	BAD("whose answer is random", scramble),
	{ "a server of another version", speak_another_version,
	  -EPROTONOSUPPORT, -EPROTONOSUPPORT, 0 },
	{ "a server in the other byte order", speak_another_byte_order,
	  -EPROTONOSUPPORT, -EPROTONOSUPPORT, 0 },
	{ "a server that refuses in escape sequences", refuse_with_escapes,
	  -EPERM, -EPERM, 0 },
	{ "a server that refuses and sends fds", refuse_with_fds, -EPERM,
	  -EPERM, 0 },
	BAD("whose status is positive", answer_positively),
	BAD("whose status is no error", answer_with_an_impossible_errno),
	BAD("with bells beyond all bells", know_other_bells),
	BAD("that sends bells and says that it does not",
	    say_socket_and_send_bells),
	BAD("that sends no fds", send_no_fds),
	BAD("that sends too few fds", send_too_few),
	BAD("that sends an fd too many", send_one_too_many),
	{ "a server that sends a dozen fds", send_twelve, -EPROTO, -EMFILE,
	  0 },
	{ "a server that answers twice", answer_twice, 0, -EPROTO, 0 },
	BAD("whose memory is /dev/null", null_for_memory),
	BAD("whose memory is a pipe", pipe_for_memory),
	BAD("whose memory is a socket", socket_for_memory),
	BAD("whose memory is a file on a tmpfs", file_for_memory),
	BAD("whose memory has no seals", unsealed),
	BAD("whose memory can shrink", shrinkable),
	BAD("whose memory is smaller than it says", smaller),
	BAD("whose memory is larger than it says", larger),
	BAD("whose memory cannot be written", read_only),
	BAD("whose memory takes no more seals", sealed_already),
	BAD("whose memory is frozen already", frozen),
	BAD("whose memory holds no ring", empty),
	BAD("whose memory is of huge pages", huge_pages),
	BAD("whose header says something else", false_header),
	BAD("whose ring has an impossible position", false_position),
	{ "a server whose ring is over", finished_ring, -EPROTO, -EPIPE, 0 },
	BAD("whose sizes overflow", overflowing),
	BAD("whose capacity is no power of two", odd_capacity),
	BAD("whose ring is smaller than was asked for", small_capacity),
	BAD("whose ring is larger than its memory", large_capacity),
	BAD("whose items have another size", other_items),
	BAD("whose items begin elsewhere", other_head),
	BAD("with flags that nobody knows", other_flags),
	BAD("with memory that nobody knows", other_mem),
	BAD("that says huge pages and has none", huge_mem),
	BAD("whose items have another tag", other_tag),
	BAD("whose tag has no end", endless_tag),
	BAD("whose bell is /dev/null", null_for_a_bell),
	BAD("whose bell is a pipe", pipe_for_a_bell),
	BAD("whose bell is an epoll set", epoll_for_a_bell),
	BAD("whose bell is a timer", timer_for_a_bell),
	BAD("whose bell is a memfd with the name of an eventfd",
	    memfd_for_a_bell),
	BAD("whose bell is a FUSE device", fuse_for_a_bell),
	BAD("whose bell is an eventfd that blocks", blocking_bell),
	BAD("whose bell is its memory", memory_for_a_bell),
	LATE("that never opens", never_open),
	{ "a server that hangs up before it opens", leave_before_it_opens,
	  -EPIPE, -ETIMEDOUT, 0 },
	{ "a server that opens and hangs up", open_and_leave, 0, 0, 0 },
	BAD("that opens in one byte", open_in_one_byte),
	BAD("that opens in an empty packet", open_in_no_byte),
	BAD("whose open is short", cut_open),
	BAD("whose open is long", stretch_open),
	BAD("whose open is random", scramble_open),
	BAD("whose open brings fds", open_with_fds),
	{ "a server that opens twice", open_twice, 0, 0, 0 },
	{ "a server that opens twice where the socket is the bell", open_twice,
	  0, 0, PEAL_DOORBELL_SOCKET },
	{ "a server that rings before it opens where the socket is the bell",
	  ring_before_it_opens, -EPROTO, -EPROTO, PEAL_DOORBELL_SOCKET },
	BAD("that opens before it answers", open_before_the_answer),
	BAD("that opens in the place of an answer",
	    open_in_the_place_of_an_answer),
	{ "a server that opens along with its answer",
	  open_along_with_the_answer, 0, -EPROTO, 0 },
	BAD("that rings before it opens", ring_before_it_opens),
	BAD("that rings and never opens", ring_and_never_open),
	{ "a server that refuses to open in escape sequences", refuse_to_open,
	  -EPERM, -EPERM, 0 },
	{ "a server that says to try again when it should open",
	  open_as_if_to_wait, -EAGAIN, -EAGAIN, 0 },
	BAD("whose open has a positive status", open_positively),
	BAD("whose open has a status that is no error",
	    open_with_an_impossible_errno),
	{ "a server that opens with an error of ours", open_with_our_own_error,
	  -EPERM, -EPERM, 0 },
	{ "a server that opens in another version", open_in_another_version,
	  -EPROTONOSUPPORT, -EPROTONOSUPPORT, 0 },
	{ "a server that opens another layout", open_another_layout,
	  -EPROTONOSUPPORT, -EPROTONOSUPPORT, 0 },
	{ "a server that opens in the other byte order",
	  open_in_another_byte_order, -EPROTONOSUPPORT, -EPROTONOSUPPORT, 0 },
	BAD("that says ready in the place of open", say_ready_back),
	BAD("that answers again in the place of open", answer_once_more),
	BAD("that says hello in the place of open", say_hello_back),
	{ "a server that opens a ring that is broken", open_a_broken_ring, 0,
	  -EPROTO, 0 },
	LATE("that is busy for ever", be_busy_for_ever),
	LATE("that is busy whenever it should open",
	     be_busy_when_it_should_open),
	{ 0 },
};
