output "gateway_url" { value = "https://${aws_apigatewayv2_domain_name.zone.domain_name}" }
output "gateway_target" {
  value = aws_apigatewayv2_domain_name.zone.domain_name_configuration[0].target_domain_name
}
output "alarm" { value = aws_cloudwatch_metric_alarm.failing.alarm_name }
output "node_role" { value = aws_iam_role.node.arn }
