/* The methods by number, for counts of each. */
#ifndef SERVICE_METHOD_INDEX_H
#define SERVICE_METHOD_INDEX_H

enum method_index { METHOD_NEW, METHOD_SEND, METHOD_HISTORY, METHOD_COUNT };

#endif
