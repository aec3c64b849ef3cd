/** Every bound of the page in one place; each is named where it is reached. */

/** Rows the live list keeps; older ones leave the list, never the store. */
export const LIST_ROWS_MAX = 500;
/** Events of one act that a search names, which may have 256 terms. */
export const ACT_EVENTS_SHOWN_MAX = 200;
/** Rows asked for at a time. */
export const PAGE_ROWS = 100;
/** Pages that "load more" may ask for until one of them has a row that is not yet shown. */
export const LOAD_PAGES_MAX = 10;
/** When the live view fell behind, the list begins anew at most this often, in milliseconds. */
export const BEHIND_MS = 2_000;
/** A page nobody looks at keeps its live connection this long, in milliseconds: a browser has few to give. */
export const HIDDEN_TAIL_MS = 60_000;
/** Alerts asked for at a time. */
export const ALERTS_MAX = 100;
/** Characters of one sentence shown in the list. */
export const SENTENCE_CHARS_MAX = 600;
/** Characters of one value or raw text shown in the details. */
export const VALUE_CHARS_MAX = 64 * 1024;
/** Between two looks at the alerts, in milliseconds. */
export const ALERTS_POLL_MS = 2_000;
/** Between two looks at the ledger and the status, in milliseconds. */
export const LEDGER_POLL_MS = 5_000;
/** Between two looks at what storage takes, in milliseconds: the answer reads the end of every file. */
export const STORAGE_POLL_MS = 60_000;
/** Columns of a dataset shown, the largest first. */
export const COLUMNS_SHOWN_MAX = 40;
/** Live rows are gathered this long before the list is drawn again, in milliseconds. */
export const TAIL_DRAW_MS = 250;
/** Completions asked for at a time. */
export const OFFERS_MAX = 20;
/** Completions are asked for so long after the last key, in milliseconds. */
export const COMPLETE_AFTER_MS = 150;
/** Characters of one completion shown. */
export const OFFER_CHARS_MAX = 120;
/** A search may run a minute and wait for others before; it is given up after this many milliseconds. */
export const SEARCH_TIMEOUT_MS = 150_000;
/** A search that has run this long shows how far it is, in milliseconds. */
export const PROGRESS_AFTER_MS = 1_000;
/** Between two looks at how far a search is, in milliseconds. */
export const PROGRESS_POLL_MS = 500;
/** How long a removal can be taken back with one click, in milliseconds. */
export const UNDO_MS = 10_000;
/** Between two looks at the saved searches, in milliseconds. */
export const SAVED_POLL_MS = 10_000;
/** A request without an answer is given up after this many milliseconds. */
export const REQUEST_TIMEOUT_MS = 15_000;

/** Characters of what an answer lacks, with the reason. */
export const UNREAD_CHARS_MAX = 1_000;
