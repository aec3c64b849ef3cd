import type { Group } from "./api";
import { Hostile } from "./Hostile";
import { VALUE_CHARS_MAX } from "./limits";
import { columnsOf, valueText } from "./rows";
import { useWords } from "./i18n";

/** Rows that are not events, with the columns they have. */
export function GroupTable({ groups }: { groups: readonly Group[] }) {
  const { lang } = useWords();
  const columns = columnsOf(groups, lang);
  return (
    <table className="groups">
      <thead>
        <tr>
          {columns.map((column) => (
            <th key={column} scope="col">
              <Hostile text={column} max={200} />
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {groups.map((group, at) => (
          <tr key={at}>
            {columns.map((column) => (
              <td key={column} className={typeof group[column] === "number" ? "number" : undefined}>
                <Hostile text={valueText(group[column])} max={VALUE_CHARS_MAX} />
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
