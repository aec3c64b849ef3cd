import { useCallback, useEffect, useId, useLayoutEffect, useRef, useState, type KeyboardEvent, type RefObject } from "react";
import { complete, type FieldType, type Offer } from "./api";
import { charactersBefore, isWorthShowing, moved, taken, type OfferList } from "./completion";
import { Hostile } from "./Hostile";
import { takenByIme } from "./hooks";
import { useWords, type Catalogue } from "./i18n";
import { COMPLETE_AFTER_MS, OFFER_CHARS_MAX } from "./limits";

const TYPE_WORD: Readonly<Record<FieldType, keyof Catalogue>> = {
  keyword: "typeKeyword",
  ip: "typeIp",
  text: "typeText",
  long: "typeLong",
  date: "typeDate",
  binary: "typeBinary",
  number: "typeNumber",
};

interface Props {
  text: string;
  setText: (text: string) => void;
  searchBox: RefObject<HTMLInputElement | null>;
  failed: boolean;
}

/** The line that is searched with, and what may stand at its cursor. */
export function SearchBox({ text, setText, searchBox, failed }: Props) {
  const { t } = useWords();
  const { list, setList, ask, close } = useOffers(searchBox);
  const id = useId();
  const cursor = useRef<number>(undefined);
  useLayoutEffect(() => {
    const at = cursor.current;
    cursor.current = undefined;
    if (at !== undefined) searchBox.current?.setSelectionRange(at, at);
  }, [text, searchBox]);

  const take = (offer: Offer) => {
    if (list === undefined) return;
    const next = taken(text, list.answer, offer);
    cursor.current = next.at;
    setText(next.text);
    close();
    // The value after a field, the field after a command.
    ask(next.text, next.at, false);
  };
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    if (takenByIme(event.nativeEvent)) {
      // The Enter that confirms kanji belongs to the input method, not to the search.
      if (event.key === "Enter") event.preventDefault();
      return;
    }
    if (event.ctrlKey && event.key === " ") {
      event.preventDefault();
      ask(event.currentTarget.value, event.currentTarget.selectionStart ?? 0, true);
      return;
    }
    if (list === undefined) {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        ask(event.currentTarget.value, event.currentTarget.selectionStart ?? 0, true);
      } else if (event.key === "Enter") {
        close();
      }
      return;
    }
    const chosen = list.answer.offers[list.selected];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setList({ ...list, selected: moved(list, event.key === "ArrowDown" ? 1 : -1) });
    } else if ((event.key === "Enter" || event.key === "Tab") && !event.shiftKey && chosen !== undefined) {
      event.preventDefault();
      take(chosen);
    } else if (event.key === "Escape") {
      // The list closes, and neither the text nor the details with it.
      event.preventDefault();
      event.stopPropagation();
      close();
    } else if (event.key === "Enter" || event.key === "Home" || event.key === "End" || event.key === "ArrowLeft" || event.key === "ArrowRight") {
      close();
    }
  };

  const option = (at: number) => `${id}${at}`;
  const active = list !== undefined && list.selected >= 0 ? option(list.selected) : undefined;
  return (
    <div className="search-box">
      <input
        ref={searchBox}
        type="search"
        name="query"
        role="combobox"
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          const composing = event.nativeEvent instanceof InputEvent && event.nativeEvent.isComposing;
          if (composing) close();
          else ask(event.target.value, event.target.selectionStart ?? event.target.value.length, false);
        }}
        onCompositionEnd={(event) => {
          ask(event.currentTarget.value, event.currentTarget.selectionStart ?? 0, false);
        }}
        onKeyDown={onKeyDown}
        onBlur={close}
        placeholder={t.searchPlaceholder}
        aria-label={t.search}
        aria-invalid={failed}
        aria-describedby="search-error"
        aria-autocomplete="list"
        aria-expanded={list !== undefined}
        aria-controls={id}
        aria-activedescendant={active}
        autoComplete="off"
        spellCheck={false}
      />
      <div
        className="offers"
        hidden={list === undefined}
        onMouseDown={(event) => {
          // The box keeps the focus.
          event.preventDefault();
        }}
      >
        <ul id={id} role="listbox" aria-label={t.offerList}>
          {list?.answer.offers.map((offer, at) => (
            <OfferLine key={offer.insert} id={option(at)} offer={offer} selected={at === list.selected} take={take} />
          ))}
        </ul>
        {list?.answer.partial === true ? <p className="quiet">{t.offersPartial}</p> : null}
      </div>
      <div role="status" className="sr-only">
        {list === undefined ? null : `${t.offers(String(list.answer.offers.length))} ${list.answer.partial ? t.offersPartial : ""}`.trim()}
      </div>
    </div>
  );
}

function OfferLine({ id, offer, selected, take }: { id: string; offer: Offer; selected: boolean; take: (offer: Offer) => void }) {
  const { lang, t } = useWords();
  const line = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (selected) line.current?.scrollIntoView({ block: "nearest" });
  }, [selected]);
  const type = offer.type === undefined ? undefined : (t[TYPE_WORD[offer.type]] as string | undefined);
  return (
    <li
      id={id}
      ref={line}
      role="option"
      aria-selected={selected}
      onClick={() => {
        take(offer);
      }}
    >
      <span className="mono">
        <Hostile text={offer.text} max={OFFER_CHARS_MAX} />
      </span>
      {offer.label === undefined ? null : <span className="quiet">{offer.label[lang]}</span>}
      {type === undefined ? null : <span className="quiet type">{type}</span>}
      {offer.count === undefined ? null : <span className="quiet type">{t.offerCount(offer.count.toLocaleString(lang))}</span>}
    </li>
  );
}

/** What is offered, asked for a moment after the last key. */
function useOffers(searchBox: RefObject<HTMLInputElement | null>) {
  const [list, setList] = useState<OfferList>();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const abort = useRef<AbortController>(undefined);

  const close = useCallback(() => {
    clearTimeout(timer.current);
    abort.current?.abort();
    setList(undefined);
  }, []);
  const ask = useCallback(
    (text: string, at: number, asked: boolean) => {
      clearTimeout(timer.current);
      abort.current?.abort();
      const mine = new AbortController();
      abort.current = mine;
      const look = async () => {
        try {
          const answer = await complete(text, charactersBefore(text, at), mine.signal);
          const box = searchBox.current;
          const stale = mine.signal.aborted || box === null || box.value !== text || document.activeElement !== box;
          if (!stale) setList(isWorthShowing(answer, asked) ? { answer, selected: -1 } : undefined);
        } catch {
          // Writing goes on without offers; the search itself says what is wrong.
          if (!mine.signal.aborted) setList(undefined);
        }
      };
      timer.current = setTimeout(() => void look(), asked ? 0 : COMPLETE_AFTER_MS);
    },
    [searchBox],
  );
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      abort.current?.abort();
    },
    [],
  );
  return { list, setList, ask, close };
}
