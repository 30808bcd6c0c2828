/* Named points at which a test may kill, stop or fail the process. Compiled out of the
 * library; tests compile the core with LC_CRASH_POINTS and set the hook. */
#ifndef LC_CRASH_H
#define LC_CRASH_H

enum lc_crash_point {
#define X(name) LC_CRASH_##name,
#include "crash.def"
#undef X
    LC_CRASH_POINT_COUNT
};

#ifdef LC_CRASH_POINTS
extern void (*lc_crash_hook)(enum lc_crash_point point);

static inline void lc_crash_reached(enum lc_crash_point point) {
    if (lc_crash_hook) {
        lc_crash_hook(point);
    }
}
#define LC_CRASH(name) lc_crash_reached(LC_CRASH_##name)
#else
#define LC_CRASH(name) ((void)0)
#endif

#endif
