/* The marks between which callgrind counts; also called from Python, by ctypes. */
#ifndef MARK_H
#define MARK_H

void mark_begin(void);
/* name: of what was done since mark_begin, in the file that callgrind writes. */
void mark_end(const char *name);

#endif
