/* Histories whose answer is known. */
#ifndef KNOWN_H
#define KNOWN_H

/* How many the checker is wrong about. */
int known_check(void);

#endif
