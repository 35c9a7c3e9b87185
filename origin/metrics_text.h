/* metrics_text: lines of Prometheus' text format, put into a buffer. */
#ifndef LOCKSTEP_ORIGIN_METRICS_TEXT_H
#define LOCKSTEP_ORIGIN_METRICS_TEXT_H

struct buffer;

struct metrics_text {
    struct buffer *out;
    const char *family; /* the one at hand */
    int has_failed;     /* the buffer was full once: what is in it is not whole */
};

/* Begin a family: HELP and TYPE lines. All texts are ours: they need no escape; name is borrowed.
 */
void metrics_family(struct metrics_text *text, const char *name, const char *type,
                    const char *help);

/* One line of the family: its name with the suffix ("", "_sum", "_count"), then pairs of a label's
 * name (ours) and its value (anybody's) up to a NULL. */
void metrics_sample(struct metrics_text *text, const char *suffix, double value, ...)
    __attribute__((sentinel));

#endif
