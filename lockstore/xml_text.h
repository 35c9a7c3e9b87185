/*
 * xml_text: the text of one element out of the small XML documents that S3 and STS answer with.
 *
 * No parser: it finds the first "<name>text</name>" and takes the text between, which is all that
 * these documents need (S3 API reference, "REST error responses"). Anything else is "not there".
 */
#ifndef LOCKSTEP_LOCKSTORE_XML_TEXT_H
#define LOCKSTEP_LOCKSTORE_XML_TEXT_H

#include <stddef.h>

/*
 * Copy the text of the first element called name from document (len bytes) to out, as a
 * NUL-terminated string with &amp; &lt; &gt; &quot; &apos; resolved, without what could steer a
 * terminal. 1 when it was found; 0, and out empty, when it is absent, has elements inside, or is
 * not shorter than out_size.
 */
int xml_text(const char *document, size_t len, const char *name, char *out, size_t out_size);

#endif
