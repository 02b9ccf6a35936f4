/* SPDX-License-Identifier: Apache-2.0 */
/* The section retry_on_failure: its keys, its rules, its arithmetic. Pure; any thread. */
#include "exporters/retry.h"

const struct key retry_keys[] = {
    {.name = "initial_interval", .type = KEY_T_DURATION, .offset = KEY_AT(int64_t, struct retry_settings, initial_interval_ns),
     .dflt = "5s", KEY_ANY, .doc = "The pause after the first failure, before jitter."},
    KEY_DOUBLE(struct retry_settings, randomization_factor, "0.5", 1, 0,
               "Each pause is drawn evenly from its base times 1 minus this to its base times 1 plus this."),
    KEY_DOUBLE(struct retry_settings, multiplier, "1.5", 1, 0, "The base grows by this factor from pause to pause."),
    {.name = "max_interval", .type = KEY_T_DURATION, .offset = KEY_AT(int64_t, struct retry_settings, max_interval_ns),
     .dflt = "30s", KEY_ANY, .doc = "The base grows to this and no further."},
    {.name = "max_elapsed_time", .type = KEY_T_DURATION, .offset = KEY_AT(int64_t, struct retry_settings, max_elapsed_time_ns),
     .dflt = "5m", KEY_ANY, .doc = "A batch is given up when its next attempt would begin later than this; 0: never."},
    KEY_END};

void retry_check(const struct retry_settings *s, const char *path, struct check *c)
{
    if (s->initial_interval_ns < 0)
        check_error(c, path, "initial_interval value must be greater than or equal to 0");
    if (s->randomization_factor < 0)
        check_error(c, path, "randomization_factor value must be greater than or equal to 0");
    if (s->randomization_factor > 1)
        check_error(c, path, "randomization_factor value must be less than or equal to 1");
    if (s->multiplier < 0)
        check_error(c, path, "multiplier value must be greater than or equal to 0");
    if (s->max_interval_ns < 0)
        check_error(c, path, "max_interval value must be greater than or equal to 0");
    if (s->max_elapsed_time_ns < 0)
        check_error(c, path, "max_elapsed_time value must be greater than or equal to 0");
    if (s->max_elapsed_time_ns <= 0)
        return;
    if (s->max_elapsed_time_ns < s->initial_interval_ns)
        check_error(c, path, "'max_elapsed_time' must not be less than 'initial_interval'");
    if (s->max_elapsed_time_ns < s->max_interval_ns)
        check_error(c, path, "'max_elapsed_time' must not be less than 'max_interval'");
}

void retry_begin(struct retry *r, const struct retry_settings *s, uint64_t now_ns)
{
    r->start_ns = now_ns;
    r->interval_ns = (double)s->initial_interval_ns;
}

int64_t retry_next(struct retry *r, const struct retry_settings *s, uint64_t now_ns, uint64_t hint_ns,
                   double random01)
{
    double spread = r->interval_ns * s->randomization_factor;
    double delay = r->interval_ns - spread + 2 * spread * random01;

    r->interval_ns *= s->multiplier;
    if (r->interval_ns > (double)s->max_interval_ns)
        r->interval_ns = (double)s->max_interval_ns;
    if (delay < (double)hint_ns)
        delay = (double)hint_ns;
    if (delay > 9e18)
        delay = 9e18;
    if (s->max_elapsed_time_ns > 0 &&
        (double)now_ns + delay > (double)r->start_ns + (double)s->max_elapsed_time_ns)
        return -1;
    return (int64_t)delay;
}
