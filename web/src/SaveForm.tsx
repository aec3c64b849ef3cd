import { useState, type KeyboardEvent } from "react";
import { saveSearch, type Level, type SavedSearch, type Schedule } from "./api";
import { failureText } from "./AlertPanel";
import { takenByIme } from "./hooks";
import { useWords } from "./i18n";
import { LEVEL_WORD } from "./LevelBadge";
import { ownZone } from "./question";

type When = "never" | "every" | "daily" | "cron";
const LEVELS: readonly Level[] = ["low", "medium", "high", "critical"];

interface Props {
  search: SavedSearch;
  /** A new one asks for its name, and refuses one that is taken; an old one is changed. */
  isNew?: boolean;
  /** With the name where it was saved, without where it was not. */
  done: (name?: string) => void;
}

/** Saves a search, with or without a time to run by itself. */
export function SaveForm({ search, isNew = false, done }: Props) {
  const words = useWords();
  const { t } = words;
  const { schedule } = search;
  const [name, setName] = useState(search.name);
  const [description, setDescription] = useState(search.description ?? "");
  const [when, setWhen] = useState<When>(schedule?.every_minutes !== undefined ? "every" : schedule?.daily !== undefined ? "daily" : schedule?.cron !== undefined ? "cron" : "never");
  const [every, setEvery] = useState(String(schedule?.every_minutes ?? 15));
  const [daily, setDaily] = useState(schedule?.daily ?? "08:00");
  const [cron, setCron] = useState(schedule?.cron ?? "0 8 * * 1-5");
  const [over, setOver] = useState(String(schedule?.rows_over ?? 0));
  const [level, setLevel] = useState<Level>(schedule?.level ?? "medium");
  const [failed, setFailed] = useState("");

  const save = async () => {
    const timing: Partial<Schedule> = when === "every" ? { every_minutes: Number(every) } : when === "daily" ? { daily } : { cron };
    const zone = search.time_zone ?? ownZone();
    try {
      await saveSearch(
        {
          ...search, name: name.trim(), description: description.trim(), time_zone: zone,
          schedule: when === "never" ? undefined : { ...timing, time_zone: schedule?.time_zone ?? zone, rows_over: Number(over), level },
        },
        !isNew,
      );
      done(name.trim());
    } catch (error) {
      setFailed(failureText(error, words));
    }
  };
  // The Enter that confirms kanji belongs to the input method.
  const guard = (event: KeyboardEvent) => { if (event.key === "Enter" && takenByIme(event.nativeEvent)) event.preventDefault(); };

  return (
    <form
      className="save-form"
      aria-label={isNew ? t.saveSearch : t.scheduleOf(search.name)}
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      {isNew ? (
        <label>
          {t.savedName}
          <input required maxLength={200} value={name} autoComplete="off" onKeyDown={guard} onChange={(event) => { setName(event.target.value); }} />
        </label>
      ) : null}
      <label>
        {t.savedDescription}
        <input value={description} autoComplete="off" onKeyDown={guard} onChange={(event) => { setDescription(event.target.value); }} />
      </label>
      <label>
        {t.schedule}
        <select value={when} onChange={(event) => { setWhen(event.target.value as When); }}>
          <option value="never">{t.scheduleNever}</option>
          <option value="every">{t.scheduleEvery}</option>
          <option value="daily">{t.scheduleDaily}</option>
          <option value="cron">{t.scheduleCron}</option>
        </select>
      </label>
      {when === "every" ? (
        <label>
          {t.minutes}
          <input type="number" min={5} required value={every} onChange={(event) => { setEvery(event.target.value); }} />
        </label>
      ) : null}
      {when === "daily" ? (
        <label>
          {t.timeOfDay}
          <input type="time" required value={daily} onChange={(event) => { setDaily(event.target.value); }} />
        </label>
      ) : null}
      {when === "cron" ? (
        <label>
          {t.cronExpression}
          <input required value={cron} spellCheck={false} onChange={(event) => { setCron(event.target.value); }} />
        </label>
      ) : null}
      {when === "never" ? null : (
        <>
          <label>
            {t.rowsOver}
            <input type="number" min={0} required value={over} onChange={(event) => { setOver(event.target.value); }} />
          </label>
          <label>
            {t.level}
            <select value={level} onChange={(event) => { setLevel(event.target.value as Level); }}>
              {LEVELS.map((one) => (
                <option key={one} value={one}>
                  {t[LEVEL_WORD[one]] as string}
                </option>
              ))}
            </select>
          </label>
          <p className="hint">{t.scheduleHint}</p>
        </>
      )}
      <div className="acts">
        <button type="submit">{t.save}</button>
        <button type="button" onClick={() => { done(); }}>
          {t.dismiss}
        </button>
      </div>
      <p role="alert" className="error">
        {failed}
      </p>
    </form>
  );
}
