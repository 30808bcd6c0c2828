/* The lock: lock_try, lock_wait, lock_ask_wake and lock_end of lc_lock.c on the word of a
 * robust mutex, beside libc's trylock and the kernel [K4 K6].
 *
 *   word    0 | owner | owner + WAITERS | DIED | DIED + WAITERS
 *   libc    trylock: 0 -> owner; DIED -> owner, WAITERS kept, the death told
 *   leave   its pointer leads on along the list again, if damage had made it blind; the
 *           head of the list says that the mutex is on its way (told); it is taken off
 *           the list; its pointer is cleared; word -> 0; if it had WAITERS, wake one or
 *           more that sleep; not told any more
 *   kernel  wait: sleep only if the word is the one expected
 *           death of the owner, of a mutex that is listed or told: word -> DIED, WAITERS
 *           kept; if it had WAITERS, wake one; told, and the word has no owner: wake one;
 *           one that is told is passed by on the list, and found at its end if its
 *           pointer leads there
 *
 * libc is glibc 2.36 (pthread_mutex_trylock.c), the kernel's part handle_futex_death of
 * Linux 5.5; an older one does not wake in the last case. A worker
 * that holds the lock, and returns once; two others, which come with or without time to
 * wait. A slice may end at any moment, and so may a worker, also one that was just woken.
 * Never do two hold the lock, and the holder behind a dead one repairs before all else. A
 * wake-up is lost only with a worker that owes it: dead, or out of time, after it was woken
 * and before it got the lock or set WAITERS. Nobody sleeps beside a free lock but for that,
 * and the end of one slice makes up for each.
 *
 * One word, and each access of it is atomic: a relaxed load is one made earlier, so no
 * memory of C11 is laid over; the fences keep what a compiler has stored by a death in its
 * order. What the lock guards is ordered by the exchange and libc's trylock. A death within
 * trylock counts as one before or after: the kernel then at most wakes one more. Left out:
 * other damage, and where there is no glibc. */
/* @deep -DDEATHS=2 -DSLICES=2 */
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef SLICES
#define SLICES 1
#endif
#define WORKERS 3
#define RELAXED 0

#define no_bit         1  /* @twin !orphaned  a waiter sleeps without setting the bit */
#define stored_bit     2  /* @twin !stuck     the bit is stored, not swapped in: over an unlock or a death */
#define free_asked     3  /* @twin !orphaned  the bit is set, too, when the word is 0 */
#define dead_asked     4  /* @twin !orphaned  the bit is set, too, when the owner died: nobody is left to wake */
#define no_compare     5  /* @twin !orphaned  a waiter sleeps whatever the word is by then */
#define no_ask         6  /* @twin !orphaned  who gets the lock after sleeping does not set the bit again */
#define no_slice       7  /* @twin !orphaned  a sleep ends by a wake-up only */
#define no_try         8  /* @twin !two       who was woken takes the lock for its own */
#define no_report      9  /* @twin !unseen    a dead owner is reported as none */
#define no_lasting    10  /* @twin !broken    the lock is left without being marked consistent */
#define not_told      11  /* @twin !stuck     who leaves does not say that the lock is on its way */
#define told_late     12  /* @twin !stuck     it is off the list before that is said */
#define led_late      15  /* @twin !stuck     that is said before its pointer leads on */
#define cleared_early 16  /* @twin !stuck     its pointer is cleared before it is off the list */
#define told_short    13  /* @twin !stuck     it is taken back before the lock is free */
#define never_wakes   14  /* @twin !orphaned  who leaves wakes nobody */
#define stored_ask    20  /* @spare  the holder stores the bit: all that others do to its word is to set it */

#ifdef TWINS
hidden byte twin;
#define CHOOSE_TWIN()           c_code { twin = getenv("TWIN") ? atoi(getenv("TWIN")) : 0; }
#define BROKEN(name)            (twin == name)
#define INSTEAD(name, ...)      :: twin == name -> __VA_ARGS__
#else
#define CHOOSE_TWIN()           skip
#define BROKEN(name)            false
#define INSTEAD(name, ...)
#endif

#define OWNER 3
#define WAITERS 4
#define DIED 8

#define GOT 0
#define GOT_DEAD 1
#define BUSY 2

byte word;   /* __lock */
bit given_up; /* __owner says so: nobody gets it any more */
byte asleep, owing, ended; /* workers, by bits; owing: woken, and has passed nothing on */
byte holder, deaths, slices;
byte lost; /* wake-ups, not yet made up for by the end of a slice */
bit dirty;   /* an owner died, and nobody has repaired yet */
bit two, unseen, broken, stuck, orphaned;

#define ME (1 << (tid - 1))

#define LOAD(order, from, to) to = from
#define STORE(order, to, value) to = value
#define EXCHANGE(order, to, value, old) old = to; to = value
#define FENCE(twin_, order) skip
#define PLAIN(step) step

inline SWAP(order, from, to, result_) {
    d_step {
        result_ = word == from;
        if
        :: result_ -> word = to
        :: else
        fi
    }
}

inline MAY_DIE() {
    if
    :: deaths < DEATHS -> deaths++; goto dead
    :: true
    fi
}

inline WAKE() {
    if
    :: asleep & 1 -> asleep = asleep & ~1; owing = owing | 1
    :: asleep & 2 -> asleep = asleep & ~2; owing = owing | 2
    :: asleep & 4 -> asleep = asleep & ~4; owing = owing | 4
    :: else
    fi
}

inline LOCK_TRY() {
    d_step {
        broken = given_up;
        assert(!broken);
        if
        :: word & DIED -> word = tid | (word & WAITERS); result = GOT_DEAD
        :: word == 0 -> word = tid; result = GOT
        :: else -> result = BUSY
        fi;
        if
        :: result != BUSY ->
            two = holder != 0;
            assert(!two);
            holder = tid
        :: else
        fi
    }
}

inline LOCK_LEAVE() {
    /* @code csrc/lc_lock.c lock_end */
    atomic {
        MAY_DIE();
        if
        INSTEAD(led_late, told = 1)
        :: else -> STORE(RELAXED, blind, 0) /* words->__list.__next = */
        fi
    };
    FENCE(led_late, DEATH); /* lc_fence_death() */
    atomic {
        MAY_DIE();
        if
        INSTEAD(not_told, skip)
        INSTEAD(told_late, unlisted = 1)
        INSTEAD(led_late, blind = 0)
        :: else -> STORE(RELAXED, told, 1) /* me->head->list_op_pending = */
        fi
    };
    FENCE(told_late, DEATH); /* lc_fence_death() */
    atomic {
        MAY_DIE();
        if
        INSTEAD(told_late, told = 1)
        INSTEAD(cleared_early, blind = 1)
        :: else -> PLAIN(unlisted = 1) /* lock_unlist(me) */
        fi
    };
    FENCE(cleared_early, DEATH); /* lc_fence_death() */
    atomic {
        MAY_DIE();
        if
        INSTEAD(cleared_early, unlisted = 1)
        INSTEAD(told_short, told = 0)
        :: else -> STORE(RELAXED, blind, 1) /* words->__list.__next = */
        fi
    };
    atomic {
        MAY_DIE();
        d_step {
            given_up = result == GOT_DEAD; /* @has me->died) ? LOCK_NOT_RECOVERABLE */
            EXCHANGE(RELEASE, word, 0, owner); /* lc_exchange_release32(word, 0) */
            waking = (owner & WAITERS) != 0 && !BROKEN(never_wakes); /* @has & FUTEX_WAITERS) */
            owner = 0;
            holder = 0
        }
    };
    if
    :: waking ->
        atomic {
            MAY_DIE();
            PLAIN(WAKE()); /* lc_os_wake_word(word, LC_LOCK_WAKES) */
            if
            :: true
            :: WAKE()
            fi;
            waking = 0
        }
    :: else
    fi;
    FENCE(told_short, DEATH); /* lc_fence_death() */
    atomic {
        MAY_DIE();
        STORE(RELAXED, told, 0); /* me->head->list_op_pending = */
        unlisted = 0;
        blind = 0
    }
}

/* value: what the word must be. */
inline LOCK_SLEEP(value) {
    if
    :: word == value || BROKEN(no_compare) ->
        asleep = asleep | ME;
        owing = owing & ~ME
    :: else
    fi
}

inline LOCK_WAIT() {
    do
    :: atomic {
            MAY_DIE();
            if
            :: late = 0
            :: late = 1
            fi;
            /* @code csrc/lc_lock.c lock_wait */
            LOAD(RELAXED, word, owner); /* lc_load_relaxed32(word) */
            taken = (owner != 0 || BROKEN(free_asked)) && (!(owner & DIED) || BROKEN(dead_asked)) /* @has bool taken = owner != 0 && !(owner & FUTEX_OWNER_DIED) */
        };
        if
        :: atomic {
                taken && !(owner & WAITERS) ->
                MAY_DIE();
                if
                INSTEAD(no_bit, owner = owner & ~WAITERS)
                INSTEAD(stored_bit, owner = owner | WAITERS; word = owner; owing = owing & ~ME)
                :: else ->
                    SWAP(RELAXED, owner, owner | WAITERS, taken); /* lc_swap_relaxed32(word, owner, asked) */
                    owner = owner | WAITERS;
                    owing = (taken -> owing & ~ME : owing)
                fi
            }
        :: else
        fi;
        if
        :: atomic {
                taken ->
                MAY_DIE();
                LOCK_SLEEP(owner) /* lc_os_wait_word(word, asked, (uint32_t)lc_min64(left, LC_LOCK_NAP_MS)) */
            };
            if
            :: !(asleep & ME)
            :: atomic { asleep & ME && late -> asleep = asleep & ~ME }
            :: atomic { asleep & ME && slices < SLICES -> slices++; asleep = asleep & ~ME }
            :: atomic { asleep & ME && deaths < DEATHS -> deaths++; goto dead }
            fi
        :: else
        fi;
        atomic {
            MAY_DIE();
            if
            INSTEAD(no_try && taken && (owing & ME), two = holder != 0; assert(!two))
            :: else -> LOCK_TRY() /* lock_try(mutex) */
            fi;
            d_step { owner = 0; taken = 0 };
            if
            :: result != BUSY || late -> break /* @has if (result != EBUSY || left == 0) */
            :: else
            fi
        }
    od
}

inline LOCK_ASK() {
    do
    :: atomic {
            MAY_DIE();
            /* @code csrc/lc_lock.c lock_ask_wake */
            LOAD(RELAXED, word, owner) /* lc_load_relaxed32(word) */
        };
        atomic {
            MAY_DIE();
            if
            INSTEAD(stored_ask, word = owner | WAITERS; taken = 1)
            :: else ->
                SWAP(RELAXED, owner, owner | WAITERS, taken) /* lc_swap_relaxed32(word, now, now | FUTEX_WAITERS) */
            fi;
            if
            :: taken -> taken = 0; owner = 0; owing = owing & ~ME; break
            :: else
            fi
        }
    od
}

proctype worker(byte tid) {
    byte owner, result, rounds;
    bit late, taken, waking, told, unlisted, blind, found;
    do
    :: rounds < ROUNDS + (tid == 1) ->
        atomic {
            MAY_DIE();
            rounds++;
            /* @code csrc/lc_lock.c lc_lock_take */
            LOCK_TRY(); /* lock_try(&ctl->sh_mutex) */
            if
            :: result != BUSY -> goto got
            :: result == BUSY
            :: result == BUSY -> goto leave
            fi
        };
        /* @code csrc/lc_lock.c lock_try_long */
        LOCK_WAIT(); /* lock_wait(mutex, wait_ms) */
        if
        :: atomic {
                result == BUSY ->
                lost = lost + ((owing & ME) != 0);
                owing = owing & ~ME;
                goto leave
            }
        INSTEAD(no_ask && result != BUSY, skip)
        /* @code csrc/lc_lock.c lc_lock_take */
        :: else -> LOCK_ASK() /* lock_ask_wake(&ctl->sh_mutex) */
        fi;
got:
        if
        :: true
        :: blind = 1 /* damage of its pointer, at any time while it is held */
        fi;
        if
        :: atomic {
                /* @code csrc/lc_lock.c lc_lock_take */
                result == GOT_DEAD && !BROKEN(no_report) -> /* @has case EOWNERDEAD: return LC_LOCK_OWNER_DIED; */
                MAY_DIE();
                /* @code csrc/lc_shard.c lc_shard_enter */
                dirty = 0 /* @has lc_recover_locked(shard); lc_lock_consistent( */
            };
            atomic {
                MAY_DIE();
                if
                INSTEAD(no_lasting, skip)
                :: else ->
                    /* @code csrc/lc_lock.c lock_last */
                    PLAIN(result = GOT) /* @has lock_me()->died = false */
                fi
            }
        :: else
        fi;
        unseen = dirty;
        assert(!unseen);
        /* @code csrc/lc_lock.c lc_lock_leave */
        LOCK_LEAVE(); /* lock_end(&ctl->sh_mutex) */
leave:
        skip;
        d_step {
            late = 0;
            taken = 0;
            owner = 0;
            result = 0
        }
    :: else -> break
    od;
    goto gone;
dead: /* what the kernel does; waking becomes: it wakes somebody */
    atomic {
        found = (unlisted -> told : !told || !blind);
        asleep = asleep & ~ME;
        taken = waking || owing & ME; /* a wake-up that dies, too */
        owing = owing & ~ME;
        if
        :: waking -> waking = told && (word & OWNER) == 0
        :: waking -> waking = 0 /* before Linux 5.5 */
        :: !waking && (word & OWNER) == tid && found ->
            waking = (word & WAITERS) != 0;
            word = (word & WAITERS) | DIED
        :: !waking && !((word & OWNER) == tid && found)
        fi;
        if
        :: holder == tid -> holder = 0; dirty = 1
        :: else
        fi;
        lost = lost + (taken && !waking);
        d_step {
            late = 0; taken = 0; owner = 0; result = 0; rounds = 0;
            told = 0; unlisted = 0; blind = 0; found = 0
        }
    };
    if
    :: waking -> atomic { WAKE() }
    :: else
    fi;
gone:
    ended = ended | ME
}

/* Where all sleep or have gone, a slice ends in place of a wake-up that was lost; what is
 * woken by it owes the same. */
proctype clock() {
    do
    :: atomic {
            asleep && (asleep | ended) == 7 ->
            stuck = (word & OWNER) != 0;
            assert(!stuck);
            orphaned = lost == 0;
            assert(!orphaned);
            lost--;
            if
            INSTEAD(no_slice, skip)
            :: else -> WAKE()
            fi
        }
    :: ended == 7 -> break
    od
}

init {
    CHOOSE_TWIN();
    atomic {
        run worker(1);
        run worker(2);
        run worker(3);
        run clock()
    }
}
