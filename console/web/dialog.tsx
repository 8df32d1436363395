// Questions before anything that breaks or moves something, and short notices of what came of it.
import { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

type Question = { title: string; text: ComponentChildren; yes: string; danger?: boolean; answer: (ok: boolean) => void };
type Notice = { id: number; text: string; bad: boolean };
let ask: (q: Question | null) => void = () => {};
let tell: (text: string, bad: boolean) => void = () => {};

export function confirm(title: string, text: ComponentChildren, yes: string, danger = false): Promise<boolean> {
  return new Promise((answer) => ask({ title, text, yes, danger, answer }));
}

export const notice = (text: string) => tell(text, false);
export const problem = (text: string) => tell(text, true);

/** act does something and says what came of it. */
export async function act(what: string, f: () => Promise<unknown>): Promise<boolean> {
  try {
    await f();
    notice(what);
    return true;
  } catch (e) {
    problem((e as Error).message);
    return false;
  }
}

export function Dialogs() {
  const [question, setQuestion] = useState<Question | null>(null);
  const [notices, setNotices] = useState<Notice[]>([]);
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    ask = setQuestion;
    let next = 1;
    tell = (text, bad) => {
      const id = next++;
      setNotices((list) => [...list.slice(-3), { id, text, bad }]);
      setTimeout(() => setNotices((list) => list.filter((n) => n.id !== id)), bad ? 12_000 : 4000);
    };
  }, []);
  useEffect(() => { if (question) box.current?.showModal(); }, [question]);
  const close = (ok: boolean) => {
    box.current?.close();
    question?.answer(ok);
    setQuestion(null);
  };
  return (
    <>
      {question ? (
        <dialog ref={box} aria-labelledby="question" onCancel={(e) => { e.preventDefault(); close(false); }}>
          <h2 id="question">{question.title}</h2>
          <div>{question.text}</div>
          <div class="row end">
            <button onClick={() => close(false)}>Cancel</button>
            <button class={question.danger ? "danger solid" : "primary"} data-confirm onClick={() => close(true)}>{question.yes}</button>
          </div>
        </dialog>
      ) : null}
      <div class="notices" role="status" aria-live="polite">
        {notices.map((n) => <p key={n.id} class={n.bad ? "bad" : "good"} role={n.bad ? "alert" : undefined}>{n.text}<button class="quiet" aria-label="Dismiss" onClick={() => setNotices((l) => l.filter((x) => x.id !== n.id))}>×</button></p>)}
      </div>
    </>
  );
}
