package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// addCommands adds every command, by what people come for.
func (a *app) addCommands(root *cobra.Command) {
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"run", "Run it:", []*cobra.Command{
			a.upCommand(), a.downCommand(), a.envCommand(), a.consoleCommand(),
		}},
		{"see", "See how it is:", []*cobra.Command{
			a.statusCommand(), a.nodesCommand(), a.topCommand(), a.doctorCommand(), a.explainCommand(), a.costCommand(), a.eventsCommand(),
		}},
		{"move", "Move traffic:", []*cobra.Command{
			a.switchoverCommand(), a.failbackCommand(), a.holdCommand(), a.releaseCommand(), a.planCommand(),
		}},
		{"data", "Look after the data:", []*cobra.Command{
			a.verifyCommand(), a.diffCommand(), a.conflictsCommand(), a.restoreCommand(), a.quarantineCommand(),
			a.backfillCommand(),
		}},
		{"faults", "Break it, and judge it:", []*cobra.Command{
			a.killCommand(), a.freezeCommand(), a.brownoutCommand(), a.partitionCommand(), a.skewCommand(),
			a.throttleCommand(), a.healCommand(), a.drillCommand(),
		}},
		{"deploy", "Configure and deploy it:", []*cobra.Command{
			a.configCommand(), a.validateCommand(), a.deployCommand(), a.dnsCommand(), a.nodeCommand(), a.cloudCommand(),
		}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.AddGroup(&cobra.Group{ID: "help", Title: "Help:"})
	v := a.versionCommand()
	v.GroupID = "help"
	root.AddCommand(v)
	root.SetCompletionCommandGroupID("help")
	root.SetHelpCommandGroupID("help")
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	root.SetUsageTemplate(usageTemplate)
	fitHelp(root)
}

// usageTemplate is cobra's, with flags that fit 80 columns and no invitation to read help that is being read.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if (and (eq .GroupID $group.ID) (or .IsAvailableCommand (eq .Name "help")))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if not .AllChildCommandsHaveGroup}}

Commands:{{range $cmds}}{{if (and (eq .GroupID "") .IsAvailableCommand)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Everywhere:
{{.InheritedFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} COMMAND --help" says more.{{end}}
`

// fitHelp makes every command's description fit 80 columns.
func fitHelp(c *cobra.Command) {
	c.Long = strings.TrimRight(wrapped(reflow(c.Long), narrowest, 0), "\n")
	for _, sub := range c.Commands() {
		fitHelp(sub)
	}
}

// reflow joins the lines of each paragraph; indented lines stay as they are.
func reflow(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "":
			b.WriteString("\n\n")
		case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
			b.WriteString("\n" + line)
		case b.Len() == 0 || strings.HasSuffix(b.String(), "\n"):
			b.WriteString(line)
		default:
			b.WriteString(" " + line)
		}
	}
	return b.String()
}
