/* SPDX-License-Identifier: MIT */
/*
 * The dispatch, for spin(1): what owns a connection, from accept(2) to close(2), while connections
 * come and go, descriptors are used again, listeners change, and the daemon ends or hands over.
 * `./dev model` explores every interleaving.  A step is a system call or an access to what threads
 * share; what a thread does for itself is part of the step before it.
 *
 *   here                    in src/
 *   file[], s[], queue[]    the kernel: descriptors, sockets, listen queues
 *   s[].watcher, .edge      an epoll instance, edge-triggered: its registration and its ready list
 *   wake[]                  the eventfd of a poller (poller.c)
 *   r[]                     the records (connections.h): what the acceptor fills, what the worker does
 *   accept_one()            accept_some(), admit() and dispatch() in acceptor.c,
 *                           worker_adopt() in worker.c, limiter_admit() in limiter.c
 *   acceptor                serve_batch(), obey(), take_set() and retire() in acceptor.c
 *   collect()               pass_round(), collect() and adopt() in worker.c
 *   serve_ready()           serve_ready(), serve() and part() in worker.c, connection_last_turn() in
 *                           connection.c
 *   expire()                expire() in worker.c
 *   end_connection()        end() in worker.c, limiter_release() in limiter.c
 *   worker                  run(), is_done() and obey() in worker.c
 *   set_listeners()         acceptor_listen() in acceptor.c
 *   give_order()            loop_command() in loop.c
 *   stop()                  stop() in server.c, watch_end() in watch.c, reactor_stop() in reactor.c
 *   freeze()                reactor_freeze() in reactor.c, collect() in handover.c
 *
 * What must hold, however fast each is:
 *
 *   - a record is empty when its number is used again, and there is a number for each connection
 *     that is let in: accept_one()
 *   - an event is about the connection that the record is about: collect()
 *   - only the owner serves, and nothing is served after its close: turn()
 *   - no worker closes more than it was given, and in order only what is acknowledged: end_connection()
 *   - what waits in the queue of a listener that goes is served: close_listener()
 *   - at the end no connection is left: check_end(), collect_all()
 *   - no thread waits for what does not come: spin's invalid end states
 *   - the end comes, and every byte is echoed or its connection was ended for a reason: the formulas
 *
 * Left out: bytes beyond one, stalled clients, threads that are stuck, limits by source.
 * Memory is sequentially consistent here: whether each access is ordered as it must be is
 * for ThreadSanitizer to say.  Descriptors of listeners are no numbers of connections here.
 *
 * A life is chosen by -D: CONNS and MAX; RELOAD, HAND_OVER; ADD_MAY_FAIL; UNREAD, where a
 * client's kernel acknowledges only some time after its FIN; TIMEOUTS end
 * connections at any time; the clients are SILENT to the last, or answer our FIN and main is so
 * PATIENT that it waits for that.  Each BUG_ is a way to do it wrong, and spin must find it.
 */

#ifndef CONNS
#define CONNS 3
#endif
#define WORKERS 2
#ifndef MAX /* max_connections */
#define MAX 2
#endif
#ifndef BUG_NO_SPARE
#define SPARE WORKERS /* those whose place is free already, and which are about to be closed */
#else
#define SPARE 0
#endif
#define FDS (MAX + 1 + SPARE) /* and one that the acceptor may have in its hand */
#define ACCEPTOR WORKERS /* in wake[] */

#define BIT(n) (1 << (n))
#define WHEN(condition, steps) if :: condition -> steps :: else fi

mtype = { RUN, DRAIN, ABORT, FREEZE };

/* The kernel. */

typedef socket {
	bit sent;     /* a byte of the client's has arrived */
	bit taken;    /* and was received, and echoed */
	bool fin;     /* the client's FIN has arrived */
	bool unread;  /* its kernel has not acknowledged all */
	bool told;    /* ours has gone out */
	byte watcher; /* in the epoll instance of this worker, + 1 */
	byte data;    /* data.fd of its events there */
	bool edge;    /* it has one */
	bool gone     /* we have closed it, or given it away */
};

socket s[CONNS + 1]; /* by connection; 0 is none */
byte file[FDS];	     /* the connection behind a descriptor; 0: the number is free */
chan queue[2] = [CONNS] of { byte };
bool listening[2];
byte drained[2] = CONNS; /* the last connection that came before the last accept(2) of a listener */
bool wake[WORKERS + 1];
bool bell; /* the reactor's main_fd */

/* What the threads share. */

typedef record {
	byte owner;  /* worker + 1 */
	byte source; /* what the acceptor fills: here, whose record it is */
	bool adopted /* what is the worker's */
};

record r[FDS];
byte accepted[WORKERS], closed[WORKERS];
byte admitted; /* the limiter's open */
mtype order[WORKERS + 1] = RUN;
bool ended[WORKERS], acceptor_ended;
byte wanted; /* listeners, as bits */
bool pending;

byte asked; /* how many clients have connected */
bool over;  /* main has ended */

/* The acceptor. */

#define WAITING(l) ((set & BIT(l)) && len(queue[l]) > 0)

inline fill()
{
	assert(r[fd].owner == 0 && !r[fd].adopted);
	r[fd].source = c;
	r[fd].owner = next + 1
}

inline refuse()
{
	d_step { file[fd] = 0; s[c].gone = true; c = 0; fd = 0 }
}

inline admit()
{
	admitted++;
#ifndef BUG_FILL_AFTER_ADD
	fill();
#endif
#ifndef BUG_COUNT_AFTER_ADD
	accepted[next]++
#endif
}

inline dispatch()
{
	if
	:: d_step { s[c].watcher = next + 1; s[c].data = fd; s[c].edge = true /* it is writable */ };
#ifdef BUG_FILL_AFTER_ADD
	   d_step { fill() };
#endif
#ifdef BUG_COUNT_AFTER_ADD
	   accepted[next]++;
#endif
	   d_step { next = 1 - next; c = 0; fd = 0 }
#ifdef ADD_MAY_FAIL
	:: d_step { accepted[next]--; r[fd].owner = 0; admitted-- };
	   refuse()
#endif
	fi
}

/* One connection of a listener, unless its queue is empty. */
inline accept_one(l)
{
	d_step { /* accept4(2) */
		assert(listening[l]);
		eagain = (len(queue[l]) == 0);
		if
		:: eagain -> drained[l] = (retiring -> asked : drained[l])
		:: else ->
			queue[l] ? c;
			do
			:: fd < FDS && file[fd] -> fd++
			:: else -> break
			od;
			assert(fd < FDS); /* EMFILE */
			file[fd] = c
		fi
	};
	if
	:: eagain
	:: atomic { !eagain && admitted >= MAX -> refuse() }
	:: d_step { !eagain && admitted < MAX -> admit() }; dispatch()
	fi
}

inline close_listener(l)
{
	d_step {
		listening[l] = false;
		do
		:: len(queue[l]) > 0 -> queue[l] ? c; assert(c > drained[l]); s[c].gone = true /* reset */
		:: else -> c = 0; drained[l] = CONNS; break
		od
	}
}

inline retire(l)
{
	if
	:: (old & BIT(l)) && !(set & BIT(l)) ->
#ifndef BUG_CLOSE_UNSERVED
		retiring = true;
		do
		:: accept_one(l); WHEN(eagain, break)
		od;
		retiring = false;
#endif
		close_listener(l)
	:: else
	fi
}

inline retire_all()
{
	retire(0);
	retire(1);
	old = 0
}

inline take_set()
{
	d_step { old = set; set = wanted; pending = false };
	retire_all()
}

inline obey_main()
{
	if
	:: woken ->
	   d_step { woken = false; wake[ACCEPTOR] = false }; /* the eventfd */
#ifndef BUG_SET_BEFORE_ORDER
	   command = order[ACCEPTOR];
#endif
	   WHEN(command == FREEZE, break);
	   WHEN(pending, take_set());
#ifdef BUG_SET_BEFORE_ORDER
	   command = order[ACCEPTOR];
#endif
	   WHEN(command == DRAIN, d_step { old = set; set = 0 }; retire_all(); break)
	:: else
	fi
}

inline accept_batch()
{
	WHEN(batch & BIT(0), accept_one(0));
	WHEN(batch & BIT(1), accept_one(1));
	batch = 0
}

proctype acceptor()
{
	byte set, old, batch, fd, c, next;
	bool woken, retiring, eagain;
	mtype command = RUN;

	do
	:: d_step { /* epoll_wait(2), level-triggered */
		(wake[ACCEPTOR] || WAITING(0) || WAITING(1)) ->
		batch = (WAITING(0) -> BIT(0) : 0) | (WAITING(1) -> BIT(1) : 0);
		woken = wake[ACCEPTOR]
	   };
#ifndef BUG_OBEY_BEFORE_BATCH
	   accept_batch();
#endif
	   obey_main();
#ifdef BUG_OBEY_BEFORE_BATCH
	   accept_batch()
#endif
	od;
	acceptor_ended = true
}

/* A worker. */

#define HAS_EDGE(c) (s[c].edge && s[c].watcher == me + 1)
#if CONNS == 1
#define HAS_EVENTS HAS_EDGE(1)
#elif CONNS == 2
#define HAS_EVENTS (HAS_EDGE(1) || HAS_EDGE(2))
#else
#define HAS_EVENTS (HAS_EDGE(1) || HAS_EDGE(2) || HAS_EDGE(3))
#endif

#define HAS_WORK (ready || wake[me] || HAS_EVENTS)
#define IS_DONE (obeyed == FREEZE || (obeyed != RUN && accepted[me] <= closed[me]))

inline epoll_wait()
{
	d_step {
		for (i : 1 .. CONNS) {
			if
			:: HAS_EDGE(i) ->
				s[i].edge = false;
				batch = batch | BIT(s[i].data);
				reads = reads | ((s[i].sent > s[i].taken || s[i].fin) -> BIT(s[i].data) : 0)
			:: else
			fi
		};
		i = 0
	}
}

inline collect()
{
	d_step {
		for (i : 0 .. FDS - 1) {
			if
			:: batch & BIT(i) ->
				assert(r[i].owner == me + 1 && file[i] && r[i].source == file[i]);
				r[i].adopted = true;
				mine = mine | BIT(i);
				ready = ready | (((reads & BIT(i)) || obeyed != RUN) -> BIT(i) : 0)
			:: else
			fi
		};
		i = 0;
		batch = 0;
		reads = 0
	}
}

inline let_go()
{
	d_step { r[fd].adopted = false; r[fd].source = 0; r[fd].owner = 0 }
}

/* Begins with what no other thread sees, ... */
inline begin_end()
{
	mine = mine & ~BIT(fd);
#ifndef BUG_CLOSE_BEFORE_LET_GO
	let_go();
#endif
	admitted--
}

/* ... and goes on with close(2), which frees the number before the socket ends. */
inline end_connection(by_client)
{
	file[fd] = 0;
	d_step {
		assert(!by_client || (s[c].sent == s[c].taken && !s[c].unread));
		/* What is not asked for any more is one and the same. */
		s[c].sent = 0; s[c].taken = 0; s[c].fin = false; s[c].unread = false; s[c].told = false;
		s[c].watcher = 0; s[c].data = 0; s[c].edge = false;
		s[c].gone = true;
		c = 0;
#ifdef BUG_CLOSE_BEFORE_LET_GO
	};
	let_go();
	d_step {
#endif
		fd = 0;
		assert(closed[me] < accepted[me]);
		closed[me]++
	}
}

/* The lowest of some bits. */
inline pick(bits)
{
	fd = 0;
	do
	:: !(bits & BIT(fd)) -> fd++
	:: else -> break
	od;
	c = file[fd]
}

inline obey()
{
	d_step {
#ifndef BUG_IDLE_NOT_DRAINED
		ready = ((order[me] == DRAIN && obeyed == RUN) -> ready | mine : ready);
#endif
		obeyed = order[me];
		ready = (obeyed == ABORT -> 0 : ready);
		round = ready
	};
	do
	:: atomic { obeyed == ABORT && mine -> d_step { pick(mine) }; begin_end() };
	   end_connection(false)
	:: else -> break
	od
}

#ifdef BUG_CLOSE_UNACKNOWLEDGED
#define UNACKNOWLEDGED(c) false
#else
#define UNACKNOWLEDGED(c) (s[c].unread)
#endif

inline turn()
{
	d_step { /* recv(2), and send(2) */
		pick(round);
		round = round & ~BIT(fd);
		ready = ready & ~BIT(fd);
		assert(c && r[fd].owner == me + 1 && r[fd].source == c && !s[c].gone);
		if
		:: s[c].taken < s[c].sent ->
			s[c].taken = 1;
#ifndef BUG_EDGE_FORGOTTEN
			ready = ready | BIT(fd)
#endif
		:: s[c].taken == s[c].sent && s[c].fin && UNACKNOWLEDGED(c) -> s[c].told = true
		:: s[c].taken == s[c].sent && s[c].fin && !UNACKNOWLEDGED(c) -> at_end = true
		:: else -> at_eagain = (obeyed == DRAIN && !s[c].told)
		fi
	}
}

inline serve_ready()
{
	do
	:: atomic { round -> turn(); WHEN(at_end, begin_end()) };
	   if
	   :: at_end -> at_end = false; end_connection(true)
	   :: d_step { at_eagain -> at_eagain = false; s[c].told = true; c = 0; fd = 0 }
	   :: d_step { !at_end && !at_eagain -> c = 0; fd = 0 }
	   fi
	:: else -> break
	od
}

#define MAY_EXPIRE(n) ((mine & BIT(n)) && !(ready & BIT(n)))

/*
 * What is in a list and not ready may be overdue.  Here it is a round of its own, for it
 * makes no difference to others whether the connection had been closed at the end of the last.
 */
inline expire()
{
	atomic {
		if
		:: MAY_EXPIRE(0) -> fd = 0
		:: MAY_EXPIRE(1) -> fd = 1
#if FDS > 2
		:: MAY_EXPIRE(2) -> fd = 2
#endif
#if FDS > 3
		:: MAY_EXPIRE(3) -> fd = 3
#endif
#if FDS > 4
		:: MAY_EXPIRE(4) -> fd = 4
#endif
		fi;
		c = file[fd];
		begin_end()
	};
	end_connection(false)
}

inline be_awake()
{
	WHEN(woken, d_step { woken = false; wake[me] = false })
}

proctype worker(byte me)
{
	byte batch, reads, ready, mine, round, fd, c, i;
	mtype obeyed = RUN;
	bool woken, at_end, at_eagain;

	do
	:: atomic { IS_DONE -> break }
	:: atomic {
		!IS_DONE && HAS_WORK ->
		woken = wake[me];
		epoll_wait();
#ifdef BUG_EXPIRE_BEFORE_COLLECT
	   };
	   if
	   :: expire()
	   :: skip
	   fi;
	   atomic {
#endif
		collect()
	   };
#ifndef BUG_OBEY_BEFORE_AWAKE
	   be_awake();
	   obey();
#else
	   obey();
	   be_awake();
#endif
	   serve_ready()
#ifdef TIMEOUTS
	:: expire()
#endif
	od;
#ifdef BUG_DONE_BEFORE_ENDED
	bell = true;
	ended[me] = true
#else
	ended[me] = true;
	bell = true
#endif
}

/* Main. */

inline set_listeners(listeners)
{
	d_step {
#ifndef BUG_TELL_UNTAKEN
		!pending ->
#endif
		wanted = listeners;
		pending = true
	};
	wake[ACCEPTOR] = true
}

inline give_order(w, o)
{
#ifdef BUG_WAKE_BEFORE_ORDER
	wake[w] = true;
	order[w] = o
#else
	order[w] = o;
	wake[w] = true
#endif
}

inline order_workers(o)
{
	give_order(0, o);
	give_order(1, o)
}

inline wait_for_end()
{
	do
	:: bell = false;
	   WHEN(ended[0] && ended[1], break);
	   if
	   :: bell
#ifndef PATIENT
	   :: order_workers(ABORT); /* shutdown_timeout, or a second signal */
	      break
#endif
	   fi
	od
}

inline check_end()
{
	d_step {
		assert(!listening[0] && !listening[1]);
		assert(admitted == 0 && accepted[0] == closed[0] && accepted[1] == closed[1]);
		for (i : 0 .. FDS - 1) {
			assert(file[i] == 0 && r[i].owner == 0 && !r[i].adopted)
		};
		for (i : 1 .. CONNS) {
			assert((i > asked || s[i].gone) && s[i].watcher == 0)
		}
	}
}

inline stop()
{
	give_order(ACCEPTOR, DRAIN);
#ifndef BUG_DRAIN_BEFORE_ACCEPTOR_ENDED
	acceptor_ended;
#endif
	order_workers(DRAIN);
	wait_for_end();
	ended[0] && ended[1];
	acceptor_ended;
	check_end()
}

inline collect_all()
{
	d_step {
		open = accepted[0] - closed[0] + accepted[1] - closed[1];
		for (i : 0 .. FDS - 1) {
			if
#ifdef BUG_ADOPTED_ONLY
			:: r[i].owner && r[i].adopted ->
#else
			:: r[i].owner ->
#endif
				assert(ended[r[i].owner - 1] && file[i] && !s[file[i]].gone);
				s[file[i]].gone = true;
				open--
			:: else -> assert(file[i] == 0)
			fi
		};
		assert(open == 0)
	}
}

/* What waits in the queues is the successor's to accept. */
inline freeze()
{
	give_order(ACCEPTOR, FREEZE);
#ifndef BUG_FREEZE_BEFORE_ACCEPTOR_ENDED
	acceptor_ended;
#endif
	order_workers(FREEZE);
#ifndef BUG_COLLECT_BEFORE_ENDED
	ended[0] && ended[1];
#endif
	collect_all()
}

inline reload()
{
	listening[1] = true;
	if
	:: set_listeners(BIT(1))
	:: set_listeners(BIT(0) | BIT(1))
	fi
}

/* The clients; they connect in their order, for they are all the same. */

#define ARRIVES s[me].edge = (s[me].watcher -> true : s[me].edge)

proctype client(byte me)
{
end_away:
	atomic {
		asked == me - 1 && (listening[0] || listening[1]);
		if
		:: listening[0] -> queue[0] ! me
		:: listening[1] -> queue[1] ! me
		fi;
		asked = me
	};
#ifdef PATIENT
	d_step { s[me].sent = (s[me].gone -> 0 : 1); ARRIVES };
	if
	:: skip
	:: true ->
end_listening:
		s[me].told || s[me].gone /* only then it answers */
	fi;
#endif
#ifdef SILENT
end_silent:
	s[me].gone;
#endif
end_late:
	d_step {
		s[me].fin = !s[me].gone;
#ifdef UNREAD
		s[me].unread = !s[me].gone;
#endif
		ARRIVES
	};
#ifdef UNREAD
	d_step { s[me].unread = false; ARRIVES }
#endif
}

init {
	byte i;
	short open;

	atomic {
		listening[0] = true;
		run acceptor();
		run worker(0);
		run worker(1);
		for (i : 1 .. CONNS) {
			run client(i)
		};
		i = 0
	};
	set_listeners(BIT(0));
#ifdef RELOAD
	reload();
#endif
#ifdef HAND_OVER
	freeze();
#else
	stop();
#endif
	over = true
}

/* Under weak fairness: what can always go on does so. */

ltl ends { <> over }
ltl echoes { [] ((s[CONNS].sent > s[CONNS].taken) ->
		 <> ((s[CONNS].sent == s[CONNS].taken) || s[CONNS].gone)) }
