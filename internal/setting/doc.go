// Package setting says what is wrong with one setting of a configuration, and names it by its key in the file. A stage that
// judges its own Config gives these errors, and knows neither the file nor where its table stands in it; config finds the line.
package setting
