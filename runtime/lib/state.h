/* state - a thing with a life has one enum for its state, and a table of the moves that are allowed.
 *
 *     static const state_set moves[LAMP_STATE_COUNT] = {
 *         [LAMP_OFF] = STATE_BIT(LAMP_ON) | STATE_BIT(LAMP_BROKEN),
 *         [LAMP_ON] = STATE_BIT(LAMP_OFF),
 *     };
 *     lamp->state = STATE_MOVE(moves, lamp->state, LAMP_ON);
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_STATE_H
#define GATHERD_RUNTIME_LIB_STATE_H

#include "runtime/lib/check.h"

#include <stdint.h>

typedef uint16_t state_set; /* of at most 16 states */

#define STATE_BIT(state) (1U << (state))

/* Is `to`; another move than the table allows is a bug. */
#define STATE_MOVE(moves, from, to) (CHECK(((moves)[from] & STATE_BIT(to)) != 0), (to))

#endif
