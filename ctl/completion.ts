/** `completion SHELL`: scripts made from the command table. */

import { type Call, type CommandSpec, optionsOf, type OptionSpec } from "./cli.ts";
import { commandNames, commands } from "./commands.ts";

export function run(call: Call): Promise<number> {
  console.log(completionScript(call.operands[0] as Shell));
  return Promise.resolve(0);
}

export type Shell = "bash" | "zsh" | "fish";

export function completionScript(shell: Shell): string {
  switch (shell) {
    case "bash":
      return bashScript();
    case "zsh":
      // zsh runs bash's completion functions once bashcompinit is loaded.
      return `autoload -U +X bashcompinit && bashcompinit\n${bashScript()}`;
    case "fish":
      return fishScript();
  }
}

/** What may follow a command: its options, and the words that its operand must be one of. */
function wordsOf(spec: CommandSpec): string[] {
  const operands = spec.name === "help" ? commandNames : spec.operandChoices ?? [];
  return [...operands, ...optionsOf(spec).map((option) => `--${option.name}`)];
}

function bashScript(): string {
  const cases = commands.map((spec) => `    ${spec.name}) words="${wordsOf(spec).join(" ")}" ;;`);
  const choices = choiceOptions().map((option) =>
    `    --${option.name}) words="${option.choices!.join(" ")}" ;;`
  );
  return `_socksdirect() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commandNames.join(" ")}" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
  case "$previous" in
    --control-socket) COMPREPLY=($(compgen -f -- "$current")); return ;;
${choices.join("\n")}
  esac
  if [ "\${COMP_WORDS[1]}" = run ] && [ "\${current#-}" = "$current" ]; then
    COMPREPLY=($(compgen -c -- "$current"))
    return
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -F _socksdirect socksdirect ./socksdirect`;
}

function choiceOptions(): OptionSpec[] {
  const all = commands.flatMap((spec) => optionsOf(spec)).filter((option) => option.choices);
  return [...new Map(all.map((option) => [option.name, option])).values()];
}

function fishScript(): string {
  const first = "__fish_use_subcommand";
  const lines = commands.flatMap((spec) => [
    `complete -c socksdirect -n ${first} -f -a ${spec.name} -d ${fishQuote(spec.summary)}`,
    ...fishOptions(spec),
  ]);
  return lines.join("\n");
}

function fishOptions(spec: CommandSpec): string[] {
  const inside = `complete -c socksdirect -n '__fish_seen_subcommand_from ${spec.name}'`;
  const operands = wordsOf(spec).filter((word) => !word.startsWith("--"));
  return [
    ...(operands.length === 0 ? [] : [`${inside} -f -a '${operands.join(" ")}'`]),
    ...optionsOf(spec).map((option) => {
      const choices = option.choices ? ` -f -a '${option.choices.join(" ")}'` : "";
      const value = option.value === undefined ? "" : ` -r${choices}`;
      return `${inside} -l ${option.name}${value} -d ${fishQuote(option.summary)}`;
    }),
  ];
}

function fishQuote(text: string): string {
  return `'${text.replace(/(['\\])/g, "\\$1")}'`;
}
